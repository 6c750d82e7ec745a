import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

const chat = '/chats/whatsapp/100/34600000000'
const rows = (count: number, message = 'Hello') =>
  Array.from({ length: count }, (_, i) => ({
    platformid: 100,
    platform: 'whatsapp',
    message: `${message} ${i}`,
    destination: '34600000000',
    messageid: String(i),
    sent: i % 2,
    status: 'READ',
    datetime: '2026-01-31 09:30:00',
    colour: 'blue',
  }))
const answer = (list: unknown, times = 1) => ({
  method: 'getmessages',
  times,
  body: JSON.stringify({ status: 'SUCCESS', result: { list } }),
})

describe('A shared read', () => {
  test('has the time of each who waits for it, and asks again where one of them still has some', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '1000' } })
    sandbox.answer({ method: 'getmessages', fault: 'silent' })
    sandbox.answer({ method: 'getchatchannels', delayMs: 500 })
    const first = gateway.get(`${chat}/messages`)
    await sandbox.called(1)
    await gateway.get('/channels') // half of the time of the first one
    const joined = Promise.all([gateway.get(`${chat}/messages`), gateway.get(`${chat}/messages`)])

    expect((await first).json.code).toBe('upstream-timeout')
    expect((await joined).map(({ status }) => status)).toEqual([200, 200])
    expect(sandbox.calls).toHaveLength(3)
  })

  test('that is asked again ends for each when its own time is up', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '1000' } })
    sandbox.answer({ method: 'getmessages', fault: 'silent', times: 2 })
    sandbox.answer({ method: 'getchatchannels', delayMs: 500 })
    const first = gateway.get(`${chat}/messages`)
    await sandbox.called(1)
    await gateway.get('/channels')
    const joined = await gateway.get(`${chat}/messages`)

    expect([(await first).json.code, joined.json.code]).toEqual(['upstream-timeout', 'upstream-timeout'])
    await expect.poll(() => sandbox.calls.at(-1)?.closedByPeer).toBe(true) // no caller waits for the second call any more
    expect(sandbox.calls).toHaveLength(3)
  })
})

describe('An answer', () => {
  test('looks the same small and large, by its form and by its ETag', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEZONE: 'Europe/Madrid' } })
    sandbox.answer(answer(rows(1)))
    sandbox.answer(answer(rows(5_000)))

    const small = await gateway.get(`${chat}/messages`)
    const large = await gateway.get(`${chat}/messages`)

    expect(large.text.length).toBeGreaterThan(1_000_000)
    expect(large.json.items).toHaveLength(5_000)
    expect(large.json.items[0]).toEqual(small.json.items[0])
    expect(small.json.items[0]).toEqual({
      platform: 'whatsapp',
      platformId: '100',
      destination: '34600000000',
      messageId: '0',
      message: 'Hello 0',
      sent: false,
      direction: 'in',
      status: 'READ',
      datetime: '2026-01-31 09:30:00',
      timestamp: '2026-01-31T08:30:00Z',
      extra: { colour: 'blue' },
    })
    for (const { text, headers } of [small, large]) {
      expect(headers).toMatchObject({ etag: expect.stringMatching(/^"[\w-]+"$/), 'content-type': 'application/json; charset=utf-8' })
      expect(Number(headers['content-length'])).toBe(Buffer.byteLength(text))
    }
  })

  test.for<[string, number, string, string]>([
    [`{"status":"ERROR","error":"CHAT_NOT_FOUND","pad":"${'x'.repeat(200_000)}"}`, 404, 'chat-not-found', 'not_applied'],
    [`{"status":"ERROR","error":"SOMETHING_NEW","pad":"${'x'.repeat(200_000)}"}`, 502, 'upstream-unknown-error', 'not_applied'],
    [`<html>${'x'.repeat(200_000)}`, 502, 'upstream-invalid-response', 'not_applied'],
    [`{"status":"SUCCESS","result":{"list":"${'x'.repeat(200_000)}"}}`, 502, 'upstream-invalid-response', 'not_applied'],
  ])('that is large and no result is reported like a small one: %s', async ([body, status, code, outcome], { gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', body })

    const reply = await gateway.get(`${chat}/messages`)

    expect(reply.json).toMatchObject({ status, code, outcome })
  })

  test('of unread may be large too, and has no ETag', async ({ gateway, sandbox }) => {
    sandbox.answer({ ...answer(rows(3_000)), method: 'getunreadmessages' })

    const reply = await gateway.get(`${chat}/unread`)

    expect(reply.json.items).toHaveLength(3_000)
    expect(reply.headers.etag).toBeUndefined()
    expect(reply.headers['cache-control']).toBe('no-store')
  })

  test('that is the one before gets the same ETag, one that differs in a byte another', async ({ gateway, sandbox }) => {
    const messages = ['one', 'one', 'two', 'one']
    const replies = []
    for (const message of messages) {
      sandbox.answer(answer(rows(3, message)))
      replies.push(await gateway.get(`${chat}/messages`))
    }

    const [first, second, third, fourth] = replies.map(({ headers }) => headers.etag)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
    expect(fourth).toBe(first)
    expect(replies.map(({ json }) => json.items[0].message)).toEqual(['one 0', 'one 0', 'two 0', 'one 0'])
  })

  test('of many sizes at once reaches its own caller', async ({ gateway, sandbox }) => {
    const sizes = [1, 3_000, 2, 2_000, 1_000, 4_000, 3, 2_500]
    for (const size of sizes) sandbox.answer({ ...answer(rows(size, `of ${size}`)), method: 'getunreadmessages' })

    const replies = await Promise.all(sizes.map(() => gateway.get(`${chat}/unread`)))

    for (const { json } of replies) expect(json.items[0].message).toBe(`of ${json.items.length} 0`)
    expect(replies.map(({ json }) => json.items.length).sort()).toEqual([...sizes].sort())
  })
})

describe('READ_CACHE_MS', () => {
  const env = { READ_CACHE_MS: '3600000' }

  test('is nothing unless it is set', async ({ gateway, sandbox }) => {
    await gateway.get('/channels')
    await gateway.get('/channels')

    expect(sandbox.calls).toHaveLength(2)
  })

  test('lets the answer of a read be used again, for those very parameters', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const paths = ['/channels', '/chats/whatsapp/100', `${chat}/messages`, '/chats/telegram/200']

    const replies = []
    for (const path of [...paths, ...paths]) replies.push(await gateway.get(path))

    expect(sandbox.calls).toHaveLength(4)
    for (const i of paths.keys()) expect(replies[i + 4]?.text).toBe(replies[i]?.text)
    expect(new Set(replies.map(({ text }) => text)).size).toBe(4)
  })

  test('ends with the next send that was answered, however it was', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    const last = async () => (await gateway.get(`${chat}/messages`)).json.items.at(-1).message
    await last()

    await gateway.post(`${chat}/messages`, { message: 'Is it there?' })
    const seen = [await last(), await last()]
    sandbox.answer({ method: 'sendmessage', fault: 'drop' })
    await gateway.post(`${chat}/messages`, { message: 'And this?' })

    expect([...seen, await last()]).toEqual(['Is it there?', 'Is it there?', 'And this?'])
    expect(sandbox.calls.filter(({ params }) => params.some(([, value]) => value === 'getmessages'))).toHaveLength(3)
  })

  test('ends with a repeated send, which another process may have made', async ({ start, sandbox, ledgerFile }) => {
    const shared = { env: { ...env, STORE_URL: `sqlite:${ledgerFile}` } }
    const [first, second] = [await start(shared), await start(shared)]
    const send = (gateway: typeof first) => gateway.post(`${chat}/messages`, { message: 'Is it there?' }, { 'idempotency-key': 'once' })
    await second.get(`${chat}/messages`)
    await send(first)

    expect((await send(second)).headers['idempotency-replayed']).toBe('true')
    expect((await second.get(`${chat}/messages`)).json.items.at(-1).message).toBe('Is it there?')
    expect(sandbox.sent).toHaveLength(1)
  })

  test('ends with a send by another account of the same user', async ({ start, sandbox }) => {
    const key = 'fake_other_key_0123456789abcdef'
    const gateway = await start({ env, accounts: { other: {} }, callers: { other: { key, account: 'other' } } })
    const last = async () => (await gateway.request(`${chat}/messages`, { key })).json.items.at(-1).message
    await last()

    await gateway.post(`${chat}/messages`, { message: 'Is it there?' })

    expect(await last()).toBe('Is it there?')
    expect(sandbox.calls).toHaveLength(3)
  })

  test('is left alone by a send to another channel', async ({ start, sandbox }) => {
    const gateway = await start({ env: { READ_CACHE_MS: '60000' } })
    const texts = [await gateway.get(`${chat}/messages`), await gateway.get('/chats/whatsapp/100')].map(({ text }) => text)
    await gateway.post('/chats/telegram/200/34600000000/messages', { message: 'Hello' })

    expect((await gateway.get(`${chat}/messages`)).text).toBe(texts[0])
    expect(sandbox.calls).toHaveLength(3)
    await gateway.post('/chats/whatsapp/100/34600000001/messages', { message: 'Hello' })
    expect((await gateway.get('/chats/whatsapp/100')).text).not.toBe(texts[1])
  })

  test('is never that of unread, nor of an error', async ({ start, sandbox }) => {
    const gateway = await start({ env })

    const replies = []
    for (const path of [`${chat}/unread`, `${chat}/unread`, '/chats/whatsapp/CHANNEL_NOT_FOUND', '/chats/whatsapp/CHANNEL_NOT_FOUND'])
      replies.push(await gateway.get(path))

    expect(replies.map(({ status }) => status)).toEqual([200, 200, 404, 404])
    expect(sandbox.calls).toHaveLength(4)
  })

  test('shows each caller its own of what was fetched for another', async ({ start, sandbox }) => {
    const some = { key: 'fake-some-key-0123456789', chats: ['telegram/*/*'] }
    const all = { key: 'fake-all-key-0123456789' }
    const gateway = await start({ env, callers: { some, all } })

    const replies = []
    for (const { key } of [all, some, all]) replies.push((await gateway.request('/channels', { key })).json.items.length)

    expect(replies).toEqual([replies[0], 1, replies[0]])
    expect(sandbox.calls).toHaveLength(1)
  })

  test('shows a caller of no chat none, before and after one who sees all', async ({ start }) => {
    const none = { key: 'fake-none-key-0123456789', chats: [] }
    const all = { key: 'fake-all-key-0123456789' }
    for (const order of [
      [none, all],
      [all, none],
    ]) {
      const gateway = await start({ env, callers: { none, all } })

      const seen = new Map<string, number>()
      for (const { key } of order) seen.set(key, (await gateway.request('/channels', { key })).json.items.length)

      expect([seen.get(none.key), seen.get(all.key)]).toEqual([0, 4])
    }
  })

  test('ends without help', async ({ start, sandbox }) => {
    const gateway = await start({ env: { READ_CACHE_MS: '1' } })

    await expect.poll(() => gateway.get('/channels').then(() => sandbox.calls.length)).toBeGreaterThan(1)
  })
})
