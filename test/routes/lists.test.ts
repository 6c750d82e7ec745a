import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

describe.for(['/channels', '/chats/whatsapp/100', '/chats/whatsapp/100/34600000000/messages'])('GET %s', path => {
  test('may be cached only by its caller', async ({ gateway }) => {
    const reply = await gateway.get(path)

    expect(reply.json.items.length).toBeGreaterThan(0)
    expect(reply.headers).toMatchObject({
      'cache-control': 'private, no-cache',
      vary: 'Authorization',
      etag: expect.stringMatching(/^"[\w-]+"$/),
    })
  })

  test('answers HEAD with the same headers', async ({ gateway }) => {
    const get = await gateway.get(path)
    const head = await gateway.request(path, { method: 'HEAD' })

    expect(head).toMatchObject({ status: 200, text: '' })
    for (const name of ['etag', 'content-length', 'content-type', 'cache-control', 'vary'])
      expect(head.headers[name], name).toBe(get.headers[name])
  })

  test('gives the caller what it has already as 304', async ({ gateway }) => {
    const { etag } = (await gateway.get(path)).headers

    for (const known of [`${etag}`, `W/${etag}`, `"other", ${etag}`, `"other",W/${etag} , "x"`, '*', ' * ']) {
      for (const method of ['GET', 'HEAD']) {
        const reply = await gateway.request(path, { method, headers: { 'if-none-match': known } })

        expect(reply, `${method} ${known}`).toMatchObject({
          status: 304,
          text: '',
          headers: { etag, vary: 'Authorization', 'cache-control': 'private, no-cache', 'x-content-type-options': 'nosniff' },
        })
        expect(reply.headers).not.toHaveProperty('content-type')
        expect(reply.headers).not.toHaveProperty('content-length')
        expect(reply.headers).not.toHaveProperty('transfer-encoding')
      }
    }
  })

  test.for(['"other"', 'W/"other"', '"*"', 'nonsense', ''])('is sent again to a caller who has %s', async (known, { gateway }) => {
    const reply = await gateway.get(path, { 'if-none-match': known })

    expect(reply.status).toBe(200)
    expect(reply.json.items.length).toBeGreaterThan(0)
  })

  test('tells a caller without rights nothing, not even that nothing has changed', async ({ start }) => {
    const sender = { key: 'fake-sender-key-0123456789', scopes: ['messages:send'] } as const
    const gateway = await start({ callers: { sender } })
    const { etag } = (await gateway.get(path)).headers
    const headers = { 'if-none-match': String(etag) }

    const replies = await Promise.all([null, sender.key].map(key => gateway.request(path, { key, headers })))

    expect(replies.map(({ status }) => status)).toEqual([401, 403])
    for (const reply of replies) expect(reply.headers).not.toHaveProperty('etag')
  })

  test('has another tag once Afilnet answers something else', async ({ gateway, sandbox }) => {
    const before = await gateway.get(path)
    sandbox.shape({ extra: { more: '1' } })
    const after = await gateway.get(path, { 'if-none-match': String(before.headers.etag) })

    // The tag is of Afilnet's own bytes, so that it may change though a list of channels does not.
    expect(after.status).toBe(200)
    expect(after.headers.etag).not.toBe(before.headers.etag)
  })
})

describe('GET /channels', () => {
  test('lists the channels in the order of Afilnet', async ({ gateway }) => {
    const reply = await gateway.get('/channels')

    expect(reply.json.items).toEqual([
      { platform: 'webchat', platformId: '10', name: 'Website' },
      { platform: 'whatsapp', platformId: '100', name: 'WhatsApp support' },
      { platform: 'telegram', platformId: '200', name: 'Telegram bot' },
      { platform: 'operator', platformId: '300', name: 'Operators' },
    ])
  })
})

describe('GET /chats/{platform}/{platformId}', () => {
  test('lists the last message of each conversation', async ({ gateway }) => {
    const reply = await gateway.get('/chats/whatsapp/100')

    expect(reply.json.items).toMatchObject([
      { platform: 'whatsapp', platformId: '100', destination: '34600000000', message: 'I can come at seven', sent: false },
      { platform: 'whatsapp', platformId: '100', destination: '34600000001', message: 'Great 👍' },
    ])
  })
})
