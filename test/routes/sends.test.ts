import { describe, expect } from 'vitest'
import { hold, sharedTest as test } from '../gateway.ts'
import { error, hello, list, other, type Page, say, sayAs } from './sending.ts'

describe('GET /sends/{id}', () => {
  test("is 404 for another caller's send and for anything that is not an id", async ({ start }) => {
    const gateway = await start({ callers: { other } })
    const { id } = (await sayAs(gateway, other.key)).json

    const own = await gateway.request(`/sends/${id}`, { key: other.key })
    expect(own).toMatchObject({ status: 200, json: { id }, headers: { 'cache-control': 'no-store' } })
    for (const wrong of [id, 'x', '%00', "'--", id.toUpperCase(), `${id}x`, '0'.repeat(5_000), '00000000-0000-7000-8000-000000000000'])
      expect(await gateway.get(`/sends/${wrong}`)).toMatchObject({ status: 404, json: { code: 'send-not-found' } })
  })

  test('shows a send that is running', async ({ gateway, sandbox }) => {
    const release = hold(sandbox)
    const reply = say(gateway)
    await sandbox.called(1)
    const [send] = await list(gateway, '?state=pending')
    release()

    expect(send).toMatchObject({ state: 'pending', createdAt: expect.any(String) })
    expect(send).not.toHaveProperty('settledAt')
    expect((await reply).json.id).toBe(send.id)
  })
})

describe('GET /sends', () => {
  test('has times in RFC 3339 and ids in the order of the posts', async ({ gateway }) => {
    const ids: string[] = []
    for (let n = 0; n < 30; n++) ids.push((await say(gateway, {})).json.id)

    const items = await list(gateway, '?limit=100')
    expect(items.map(({ id }: { id: string }) => id)).toEqual(ids.toReversed())
    expect(ids).toEqual(ids.toSorted())
    for (const { id, createdAt, settledAt } of items) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(new Date(createdAt).toISOString()).toBe(createdAt)
      expect(Date.parse(settledAt)).toBeGreaterThanOrEqual(Date.parse(createdAt))
      expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBeLessThanOrEqual(Date.parse(createdAt))
    }
  })

  test.for([
    ['state=rejected', 1],
    ['idempotencyKey=k', 1],
    ['reference=r%201', 1],
    ['platform=telegram', 1],
    ['platformId=200', 1],
    ['destination=700100200', 1],
    ['destination=700100200&platform=telegram&reference=r%201', 1],
    ['destination=700100200&platform=webchat', 0],
    ['state=pending', 0],
    ['idempotencyKey=K', 0],
  ] as const)('filters by %s', async ([query, count], { gateway, sandbox }) => {
    await say(gateway)
    sandbox.answer({ body: error('CHANNEL_NOT_FOUND') })
    const odd = await say(gateway, { 'idempotency-key': 'k' }, { ...hello, reference: 'r 1' }, '/chats/telegram/200/700100200')
    await say(gateway, {})

    const items = await list(gateway, `?${query}`)
    expect(items.map(({ id }: { id: string }) => id)).toEqual(count === 1 ? [odd.json.sendId] : [])
  })

  test('finds a recipient by the name that a send shows, and a WhatsApp number in any spelling, on all platforms', async ({ gateway }) => {
    const number = '+34 699-999-999'
    const post = async (channel: string) => (await say(gateway, {}, hello, `/chats/${channel}/${encodeURIComponent(number)}`)).json
    const [whatsapp, telegram] = [await post('whatsapp/100'), await post('telegram/200')]
    await say(gateway, {})

    expect([whatsapp.destination, telegram.destination]).toEqual(['34699999999', number])
    const first = (await gateway.get(`/sends?destination=${encodeURIComponent(number)}&limit=1`)).json
    expect(first.items).toEqual([telegram])
    expect(await list(gateway, `?destination=${encodeURIComponent(number)}&cursor=${first.nextCursor}`)).toEqual([whatsapp])
    expect(await list(gateway, `?destination=${encodeURIComponent(number)}&platform=whatsapp`)).toEqual([whatsapp])
    expect(await list(gateway, '?destination=34699999999')).toEqual([whatsapp])
  })

  test('pages without gaps or repeats while more arrives, 20 at a time', async ({ gateway }) => {
    const made = await Promise.all(Array.from({ length: 45 }, () => say(gateway, {})))
    const seen: string[] = []
    const lengths: number[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Page = (await gateway.get(`/sends${cursor && `?cursor=${cursor}`}`)).json
      seen.push(...page.items.map(({ id }) => id))
      lengths.push(page.items.length)
      cursor = page.nextCursor
      await say(gateway, {})
    }

    expect(lengths).toEqual([20, 20, 5])
    expect(seen).toEqual(
      made
        .map(({ json }) => json.id)
        .sort()
        .reverse(),
    )
  })

  test('ends without a cursor where a page is just full', async ({ gateway }) => {
    await Promise.all(Array.from({ length: 4 }, () => say(gateway, {})))
    const first = (await gateway.get('/sends?limit=2')).json
    const second = (await gateway.get(`/sends?limit=2&cursor=${first.nextCursor}`)).json

    expect(second.items).toHaveLength(2)
    expect(second).not.toHaveProperty('nextCursor')
  })

  test("shows the caller's own sends only, also with another caller's cursor", async ({ start }) => {
    const gateway = await start({ callers: { other } })
    const mine = await say(gateway, {})
    for (let n = 0; n < 3; n++) await sayAs(gateway, other.key, {})
    const { nextCursor } = (await gateway.request('/sends?limit=1', { key: other.key })).json

    expect(await list(gateway, `?cursor=${nextCursor}`)).toMatchObject([{ id: mine.json.id }])
    expect(await list(gateway, '?limit=100')).toHaveLength(1)
  })

  test.for(['1', '100'])('takes a limit of %s', async (limit, { gateway }) => {
    expect((await gateway.get(`/sends?limit=${limit}`)).status).toBe(200)
  })

  test.for([
    ...['limit=0', 'limit=101', 'limit=abc', 'limit=', 'limit=-1', 'limit=1.5', 'limit=1e1', 'limit=5&limit=5'],
    ...['colour=red', 'caller=other', 'before=x', 'state=lost', 'state=', 'state=unknown&state=accepted', 'platform=sms'],
    ...['cursor=', 'cursor=x', 'cursor=%00', 'cursor=MDE5YTBiMWM', "cursor='--", 'cursor=a&cursor=b'],
  ])('refuses %s', async (query, { gateway }) => {
    const reply = await gateway.get(`/sends?${query}`)

    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid-request', outcome: 'not_applied', retry: 'no' } })
  })

  test('needs a key', async ({ gateway }) => {
    for (const path of ['/sends', '/sends/x']) expect((await gateway.request(path, { key: null })).status).toBe(401)
  })
})

describe('A caller name that moves to another account', () => {
  test('does not get the sends and keys of the old account', async ({ start, sandbox, ledgerFile }) => {
    const env = { STORE_URL: `sqlite:${ledgerFile}` }
    const accounts = { second: {} }
    const before = await start({ env, callers: { other }, accounts })
    const first = (await sayAs(before, other.key)).json
    await before.drain()
    const moved = await start({ env, callers: { other: { ...other, account: 'second' } }, accounts })
    const found = await moved.request(`/sends/${first.id}`, { key: other.key })
    const listed = await moved.request('/sends?idempotencyKey=order-4711', { key: other.key })
    const again = await sayAs(moved, other.key)
    await moved.drain()
    const back = await sayAs(await start({ env, callers: { other }, accounts }), other.key)

    expect(found).toMatchObject({ status: 404, json: { code: 'send-not-found' } })
    expect(listed.json.items).toEqual([])
    expect(again).toMatchObject({ status: 201, json: { id: expect.not.stringContaining(first.id) } })
    expect(back).toMatchObject({ status: 201, json: { id: first.id }, headers: { 'idempotency-replayed': 'true' } })
    expect(sandbox.sent).toHaveLength(2)
  })
})
