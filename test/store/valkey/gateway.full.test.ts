import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { type Reply, type StartOptions, type TestGateway, test } from '../../gateway.ts'
import { noServer, type Server, startServer } from './server.ts'
import { openSwitch } from './switch.ts'

const chat = '/chats/whatsapp/100/34600000000'
const say = (gateway: TestGateway, key: string) => gateway.post(`${chat}/messages`, { message: 'Hello' }, { 'idempotency-key': key })
const health = async (gateway: TestGateway) => {
  const { status, json } = await gateway.get('/health/ready')
  return { status, store: json.store }
}
const limited = { key: 'fake-limited-key-0123456789', rateLimit: { requestsPerMinute: 5 } }
const daily = { key: 'fake-daily-key-0123456789', rateLimit: { sendsPerDay: 3 } }
const statuses = (replies: Reply[]) => replies.map(({ status }) => status).sort()
const times = (count: number) => Array.from({ length: count }, (_, i) => i)

describe.skipIf(noServer)('Two gateways on one server (needs redis-server)', () => {
  let shared: Server
  beforeAll(async () => {
    shared = await startServer()
  })
  afterAll(() => shared.end())

  const two = async (start: (options: StartOptions) => Promise<TestGateway>, url: string) => {
    const options = { env: { STORE_URL: url, TRUST_PROXY: '127.0.0.1' }, callers: { limited, daily } }
    return [await start(options), await start(options)] as const
  }

  test('send once for a key, whichever gateway gets the request, and show each other’s sends', async ({ start, sandbox }) => {
    const [one, other] = await two(start, shared.fresh())
    const replies = await Promise.all(times(10).map(n => say(n % 2 ? one : other, 'k')))
    const replays = await Promise.all([say(one, 'k'), say(other, 'k')])

    expect(sandbox.sent).toHaveLength(1)
    expect(replies.filter(({ status, headers }) => status === 201 && !headers['idempotency-replayed'])).toHaveLength(1)
    expect(replies.every(({ status }) => status === 201 || status === 409)).toBe(true)
    expect(replays.map(({ status, headers }) => [status, headers['idempotency-replayed']])).toEqual([
      [201, 'true'],
      [201, 'true'],
    ])
    expect(replays[0]?.text).toBe(replays[1]?.text)
    for (const gateway of [one, other]) {
      expect((await gateway.get('/sends')).json.items).toMatchObject([{ id: replays[0]?.json.id, idempotencyKey: 'k' }])
      expect((await gateway.get(`/sends/${replays[0]?.json.id}`)).json).toMatchObject({ state: 'accepted' })
    }
    expect(await other.post(`${chat}/messages`, { message: 'Other' }, { 'idempotency-key': 'k' })).toMatchObject({
      status: 422,
      json: { code: 'idempotency-key-reused' },
    })
  })

  test('refuse keys after the server has lost everything, while one that starts later accepts them', async ({ start, sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const env = { STORE_URL: server.url() }
    const old = await start({ env })
    await say(old, 'before')
    server.cli('FLUSHALL')
    await server.kill()
    await expect.poll(() => health(old)).toMatchObject({ store: 'unavailable' })
    await server.restart()
    await expect.poll(() => health(old)).toMatchObject({ store: 'changed' })
    const later = await start({ env })
    await say(later, 'k')

    expect(await say(old, 'k')).toMatchObject({ status: 503, json: { code: 'ledger-changed', outcome: 'not_applied', retry: 'no' } })
    expect(sandbox.sent).toHaveLength(2)
  })

  test('share the requests of a minute and the sends of a day', async ({ start, sandbox }) => {
    const [one, other] = await two(start, shared.fresh())
    const asked = await Promise.all(times(10).map(n => (n % 2 ? one : other).request('/me', { key: limited.key })))
    const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"message":"Hello"}', key: daily.key }
    const sent = await Promise.all(times(10).map(n => (n % 2 ? one : other).request(`${chat}/messages`, post)))

    expect(statuses(asked)).toEqual([...Array(5).fill(200), ...Array(5).fill(429)])
    const left = asked.map(({ headers }) => /;r=(\d+)/.exec(String(headers.ratelimit))?.[1]).sort()
    expect(left).toEqual(['0', '0', '0', '0', '0', '0', '1', '2', '3', '4'])
    const over = asked.find(({ status }) => status === 429)
    expect(over?.headers['ratelimit-policy']).toBe('"requests";q=5;w=60')
    expect(Number(over?.headers['retry-after'])).toBeGreaterThan(30)
    expect(statuses(sent)).toEqual([...Array(3).fill(201), ...Array(7).fill(429)])
    expect(sandbox.sent).toHaveLength(3)
  })

  test('share the mistakes of an address', async ({ start }) => {
    const [one, other] = await two(start, shared.fresh())
    const from = (address: string) => ({ key: 'fake-guess-0123456789abc', headers: { 'x-forwarded-for': address } })
    const guesses: Reply[] = []
    const isRefused = () => guesses.some(({ status }) => status === 429)
    // Each alone would take 900. Some at a time: a count that has to wait for too long is made by each alone.
    while (!isRefused() && guesses.length < 1_400)
      guesses.push(...(await Promise.all(times(70).map(n => (n % 2 ? one : other).request('/me', from('198.51.100.7'))))))

    expect(isRefused()).toBe(true)
    expect((await one.request('/me', from('198.51.100.8'))).status).toBe(401)
    expect((await one.get('/me', { 'x-forwarded-for': '198.51.100.7' })).status).toBe(200)
  })

  test('finish each other’s business: what one leaves running is unknown to the other, and never sent again', async ({
    start,
    sandbox,
  }) => {
    const env = { STORE_URL: shared.fresh(), AFILNET_TIMEOUT_MS: '2000' }
    const [one, other] = [await start({ env }), await start({ env })]
    sandbox.answer({ fault: 'silent' })
    const running = say(one, 'k').catch(() => undefined)
    await expect.poll(() => sandbox.calls.length).toBe(1)

    expect(await say(other, 'k')).toMatchObject({ status: 409, json: { code: 'idempotency-key-in-use', outcome: 'unknown' } })
    await running
    expect((await say(other, 'k')).json).toMatchObject({ code: 'upstream-timeout', outcome: 'unknown' })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('call a queued send `unknown` if the answer of the server is lost: the other one sends it', async ({ start, sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const { url, mute } = await openSwitch(server.port)
    const queues = { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') }
    const one = await start({ env: { ...queues, STORE_URL: url } })
    await start({ env: { ...queues, STORE_URL: server.url() } })
    await say(one, 'before')
    const post = () => one.post(`${chat}/messages`, { message: 'Later' }, { prefer: 'respond-async', 'idempotency-key': 'later' })
    mute('later')
    const lost = await post()
    await expect.poll(() => sandbox.sent.length).toBe(2)

    expect(lost).toMatchObject({ status: 500, json: { code: 'internal-error', outcome: 'unknown', retry: 'same-key' } })
    await expect.poll(async () => (await post()).status).toBe(201)
    expect((await post()).json.id).toBe(lost.json.sendId)
    expect(sandbox.sent).toHaveLength(2)
  })

  const outages: Record<string, { begin(server: Server): Promise<void> | unknown; end(server: Server): Promise<void> | unknown }> = {
    killed: { begin: server => server.kill(), end: server => server.restart() },
    frozen: { begin: server => server.stop(), end: server => server.go() },
  }
  test.for(Object.entries(outages))(
    'whose server is %s refuse sends at once, read and limit on, and heal',
    async ([, { begin, end }], { start, sandbox }) => {
      const server = await startServer()
      onTestFinished(server.end)
      const [one, other] = await two(start, server.url())
      const before = await say(one, 'before')
      await begin(server)

      for (const gateway of [one, other]) {
        expect(await say(gateway, 'k')).toMatchObject({
          status: 503,
          json: { code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' },
        })
        expect((await gateway.get('/channels')).status).toBe(200)
        expect((await gateway.get(`/sends/${before.json.id}`)).status).toBe(503)
        expect(await health(gateway)).toEqual({ status: 200, store: 'unavailable' })
        const asked = await Promise.all(times(8).map(() => gateway.request('/me', { key: limited.key })))
        expect(statuses(asked)).toEqual([...Array(5).fill(200), ...Array(3).fill(429)])
      }
      expect(sandbox.sent).toHaveLength(1)

      await end(server)
      for (const gateway of [one, other]) {
        await expect.poll(async () => (await say(gateway, 'k')).status).toBe(201)
        await expect.poll(() => health(gateway)).toEqual({ status: 200, store: 'ok' })
        await gateway.logged(line => line.level === 30 && line.msg === 'ledger available again')
        expect((await say(gateway, 'before')).text).toBe(before.text)
      }
      expect(sandbox.sent).toHaveLength(2)
    },
  )

  test('say at the start which crash would have them send twice', async ({ start }) => {
    const server = await startServer({ settings: { appendonly: 'no' } })
    onTestFinished(server.end)
    const gateway = await start({ env: { STORE_URL: server.url() } })

    expect(await gateway.logged(line => line.level === 40)).toMatchObject({ msg: expect.stringMatching(/appendonly no.*sent again/) })
    expect((await say(gateway, 'k')).status).toBe(201)
  })

  test('start while it is away, and take sends once it is there', async ({ start, sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    await server.kill()
    const gateway = await start({ env: { STORE_URL: server.url() } })

    expect(await health(gateway)).toEqual({ status: 200, store: 'unavailable' })
    expect((await say(gateway, 'k')).status).toBe(503)
    await server.restart()
    await expect.poll(async () => (await say(gateway, 'k')).status).toBe(201)
    expect(sandbox.sent).toHaveLength(1)
  })
})
