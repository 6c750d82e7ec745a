import { describe, expect } from 'vitest'
import { hold, requestsInFlight, sharedTest as test } from '../gateway.ts'

const chat = (destination: string, platform = 'whatsapp') => `/chats/${platform}/100/${encodeURIComponent(destination)}`
const hello = { message: 'Hello' }

describe('A WhatsApp number', () => {
  test('has one name for Afilnet, the answer and the ledger, however it is written', async ({ gateway, sandbox }) => {
    const headers = { 'idempotency-key': 'order-4711' }

    const first = await gateway.post(`${chat('+34 600-000-000')}/messages`, hello, headers)
    const again = await gateway.post(`${chat('(34) 600.000.000')}/messages`, hello, headers)
    const read = await gateway.get(`${chat('+34600000000')}/messages`)
    const found = await gateway.get('/sends?platform=whatsapp&destination=%2B34%20600000000')

    expect(sandbox.sent.map(({ destination }) => destination)).toEqual(['34600000000'])
    expect(first).toMatchObject({ status: 201, json: { destination: '34600000000' } })
    expect(again).toMatchObject({ status: 201, headers: { 'idempotency-replayed': 'true' } })
    expect(read.status).toBe(200)
    expect(found.json.items).toMatchObject([{ destination: '34600000000' }])
  })

  test('cannot be written around the chats of a caller', async ({ start, sandbox }) => {
    const key = 'few-key-0123456789012345'
    const gateway = await start({ callers: { few: { key, scopes: ['messages:send', 'messages:read'], chats: ['whatsapp/100/34*'] } } })
    const headers = { 'content-type': 'application/json' }
    const post = (destination: string) =>
      gateway.request(`${chat(destination)}/messages`, { key, method: 'POST', headers, body: JSON.stringify(hello) })

    const replies = await Promise.all(['+34600000000', '(34)600000001', '+35600000000', '34600000000,35600000000'].map(post))

    expect(replies.map(({ status }) => status)).toEqual([201, 201, 403, 400])
    expect(sandbox.sent.map(({ destination }) => destination).sort()).toEqual(['34600000000', '34600000001'])
  })

  test('shares one call of Afilnet and one ETag with its other spellings', async ({ gateway, sandbox }) => {
    const release = hold(sandbox)
    const reads = ['34600000000', '+34600000000', '34 600 000 000'].map(one => gateway.get(`${chat(one)}/messages`))
    await expect.poll(() => requestsInFlight(gateway)).toBe(3)
    release()
    const replies = await Promise.all(reads)

    expect(sandbox.calls).toHaveLength(1)
    expect(new Set(replies.map(({ headers }) => headers.etag)).size).toBe(1)
  })
})

describe('A destination', () => {
  const placeholder = '$' + '{to}'

  test.for(['undefined', 'null', 'NaN', '[object Object]', '{{phone}}', placeholder, '📞'])(
    '%s is a mistake to send to, and can be read',
    async (destination, { gateway, sandbox }) => {
      for (const platform of ['whatsapp', 'telegram', 'webchat', 'operator']) {
        const message = await gateway.post(`${chat(destination, platform)}/messages`, hello)
        const file = await gateway.post(`${chat(destination, platform)}/files`, { type: 'image', fileUrl: 'https://example.com/a.jpg' })

        for (const { status, json } of [message, file]) {
          expect(status).toBe(400)
          expect(json.errors).toEqual([{ in: 'path', pointer: '/destination', detail: expect.stringContaining('name the recipient') }])
        }
      }
      expect(sandbox.calls).toEqual([])

      await gateway.get(`/chats/telegram/200/${encodeURIComponent(destination)}/messages`)
      expect(sandbox.calls.map(({ params }) => params.at(-1))).toEqual([['destination', destination]])
    },
  )

  test('that is too long is refused for its length alone', async ({ gateway }) => {
    const { json } = await gateway.post(`${chat(`{{${'x'.repeat(300)}}}`)}/messages`, hello)

    expect(json.errors).toMatchObject([{ pointer: '/destination', detail: expect.stringMatching(/^is 304 characters long/) }])
  })

  test('of dots is a mistake to send to', async ({ gateway, sandbox }) => {
    const body = '{"message":"Hello"}'
    for (const dots of ['.', '..', '%2e', '%2E%2E']) {
      const answer = await gateway.raw(
        `POST /chats/webchat/100/${dots}/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer fake_canary_key_0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    }
    expect(sandbox.calls).toEqual([])
  })

  test.for(['a,b', 'a;b', 'a|b', 'a\nb'])('%j is no list on any platform', async (destination, { gateway, sandbox }) => {
    for (const platform of ['whatsapp', 'telegram', 'webchat', 'operator']) {
      const replies = [
        await gateway.get(`${chat(destination, platform)}/messages`),
        await gateway.get(`${chat(destination, platform)}/unread`),
        await gateway.post(`${chat(destination, platform)}/messages`, hello),
      ]
      expect(replies.map(({ status }) => status)).toEqual([400, 400, 400])
    }
    expect(sandbox.calls).toEqual([])
  })
})
