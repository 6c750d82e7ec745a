import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { test } from '../gateway.ts'
import { noServer, type Server, startServer } from '../store/valkey/server.ts'
import { ask, issue, messages, sayWith, told } from './issuing.ts'

describe.skipIf(noServer)('Two gateways on one server (needs redis-server)', () => {
  let shared: Server
  beforeAll(async () => {
    shared = await startServer()
  })
  afterAll(() => shared.end())

  test('take each other’s tokens, with one ledger of their keys and sends', async ({ start, sandbox }) => {
    const env = { STORE_URL: shared.fresh() }
    const [one, other] = [await start({ env }), await start({ env })]
    const token = await issue(one, { actor: 'alice' })
    const again = await issue(other, { actor: 'alice' })

    const replies = await Promise.all([one, other, one, other].map(gateway => sayWith(gateway, token, 'k')))
    await expect.poll(async () => (await sayWith(one, token, 'k')).status).toBe(201) // also where the server was busy
    const replays = [await sayWith(one, again, 'k'), await sayWith(other, token, 'k')]

    expect(sandbox.sent).toHaveLength(1)
    expect(replies.filter(({ status, headers }) => status === 201 && !headers['idempotency-replayed']).length).toBeLessThanOrEqual(1)
    expect(replays.map(({ status, headers }) => [status, headers['idempotency-replayed']])).toEqual([
      [201, 'true'],
      [201, 'true'],
    ])
    const { id } = replays[0]?.json ?? {}
    for (const gateway of [one, other]) {
      expect((await gateway.request('/sends', { key: token })).json.items).toMatchObject([{ id, actor: 'alice', idempotencyKey: 'k' }])
      expect((await gateway.request('/sends?idempotencyKey=k', { key: token })).json.items).toMatchObject([{ id }])
      expect((await gateway.get('/sends')).json.items).toMatchObject([{ id, actor: 'alice' }])
      const bob = await issue(gateway, { actor: 'bob' })
      expect((await gateway.request('/sends', { key: bob })).json.items).toEqual([])
      expect(told(await gateway.request(`/sends/${id}`, { key: bob }))).toEqual([404, 'send-not-found'])
    }
    expect(told(await other.request(messages, { key: `${token.slice(0, -4)}AAAA` }))).toEqual([401, 'unauthenticated'])
  })

  test('count the requests of a token together', async ({ start }) => {
    const env = { STORE_URL: shared.fresh() }
    const gateways = [await start({ env }), await start({ env })]
    const token = await issue(gateways[0] as (typeof gateways)[0])

    const replies = await Promise.all(Array.from({ length: 130 }, (_, n) => gateways[n % 2]?.request('/me', { key: token })))
    // Each gateway alone would let its 65 pass. A server that is too busy to count lets a few more pass.
    const over = replies.filter(reply => reply?.json.code === 'rate-limited')
    expect(over.length).toBeGreaterThan(0)
    expect(over.length).toBeLessThanOrEqual(10)
  })

  test('read on with tokens while the server is away, and forget those of a server that lost everything', async ({ start }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const gateway = await start({ env: { STORE_URL: server.url() } })
    const token = await issue(gateway)
    await server.kill()
    await expect.poll(async () => (await gateway.get('/health/ready')).json.store).toBe('unavailable')
    expect((await gateway.request(messages, { key: token })).status).toBe(200)

    await server.restart()
    await expect.poll(async () => (await sayWith(gateway, token, 'k')).status).toBe(201)
    server.cli('FLUSHALL')
    await expect.poll(async () => told(await gateway.request(messages, { key: token }))).toEqual([401, 'unauthenticated'])
    expect((await ask(gateway)).status).toBe(201)
  })
})
