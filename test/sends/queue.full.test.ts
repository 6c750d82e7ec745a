import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { canaries, test } from '../gateway.ts'
import { startProgram } from '../program.ts'
import { noServer, startServer } from '../store/valkey/server.ts'

const env = { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') }
const ahead = (ms: number) => new Date(Date.now() + ms).toISOString()

type Program = Awaited<ReturnType<typeof startProgram>>
const chat = (destination: string) => `/chats/whatsapp/100/${destination}/messages`
const queue = async (
  gateway: Program,
  message: string,
  { key = message.replaceAll(' ', '-'), to = '34600000000', sendAt = ahead(0) } = {},
) => {
  const post = () => gateway.post(chat(to), { message, sendAt }, { 'idempotency-key': key })
  let reply = await post()
  const isRefused = () => reply.json.code === 'store-unavailable' || reply.json.code === 'idempotency-key-in-use'
  while (isRefused()) reply = await post() // a busy machine: its store took longer than a claim may take
  return { status: reply.status, json: reply.json }
}
const stateOf = async (gateway: Program, id: string) => (await gateway.get(`/sends/${id}`)).json.state
const becomes = (gateway: Program, id: string, state: string) => expect.poll(() => stateOf(gateway, id)).toBe(state)

describe('A queue', () => {
  test('survives kill -9: what waits goes once and on time, what was in flight is unknown', async ({ sandbox }) => {
    const first = await startProgram(sandbox, env)
    const STORE_URL = `sqlite:${join(first.folder, 'ledger.sqlite')}`
    const sendAt = ahead(15_000)
    const later = await queue(first, 'later', { sendAt })
    const canceled = await queue(first, 'canceled', { sendAt: ahead(3_600_000) })
    sandbox.answer({ fault: 'silent' })
    const inFlight = await queue(first, 'in flight', { to: '34600000001' })
    await sandbox.called(1)
    const behind = await queue(first, 'behind', { to: '34600000001' })
    first.kill('SIGKILL')
    await first.exited
    const second = await startProgram(sandbox, { ...env, STORE_URL })
    const path = `${second.url}/sends/${canceled.json.id}`
    const headers = { authorization: `Bearer ${canaries.key}` }
    expect((await fetch(path, { method: 'DELETE', headers })).status).toBe(200)
    second.kill('SIGKILL')
    await second.exited
    const third = await startProgram(sandbox, { ...env, STORE_URL })
    await becomes(third, inFlight.json.id, 'unknown')
    await becomes(third, behind.json.id, 'accepted')
    await becomes(third, later.json.id, 'accepted')
    const again = await queue(third, 'in flight', { to: '34600000001', sendAt: inFlight.json.sendAt })

    expect(again).toMatchObject({ status: 422, json: { code: 'idempotency-key-reused' } }) // another sendAt is another request
    expect(await stateOf(third, canceled.json.id)).toBe('canceled')
    expect(sandbox.sent.map(({ message }) => message).sort()).toEqual(['behind', 'in flight', 'later'])
    const ofOneChat = sandbox.sent.filter(({ destination }) => destination === '34600000001')
    expect(ofOneChat.map(({ message }) => message)).toEqual(['in flight', 'behind'])
    expect(sandbox.calls).toHaveLength(3)
    expect(Date.parse((await third.get(`/sends/${later.json.id}`)).json.settledAt)).toBeGreaterThanOrEqual(Date.parse(sendAt))
  })

  test.skipIf(noServer)('is left alone by a gateway that cannot listen (needs redis-server)', async ({ gateway, sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const STORE_URL = server.fresh()
    const first = await startProgram(sandbox, { ...env, STORE_URL })
    const dueAt = Date.now() + 3_000
    const { json } = await queue(first, 'later', { sendAt: new Date(dueAt).toISOString() })
    first.kill('SIGKILL')
    await first.exited
    await expect.poll(() => Date.now(), { timeout: 10_000 }).toBeGreaterThan(dueAt)
    const { port: ADMIN_PORT } = new URL(String(gateway.adminUrl))

    await expect(startProgram(sandbox, { ...env, STORE_URL, ADMIN_PORT })).rejects.toThrow('it ended with 1')
    expect(sandbox.calls).toEqual([])
    const last = await startProgram(sandbox, { ...env, STORE_URL })
    await becomes(last, json.id, 'accepted')
    expect(sandbox.calls).toHaveLength(1)
  })

  test.skipIf(noServer)(
    'of two replicas sends everything once and in order, although one is killed (needs redis-server)',
    async ({ sandbox }) => {
      const server = await startServer()
      onTestFinished(server.end)
      const STORE_URL = server.fresh()
      const [first, second] = await Promise.all([
        startProgram(sandbox, { ...env, STORE_URL }),
        startProgram(sandbox, { ...env, STORE_URL }),
      ])
      sandbox.latencyMs = 20
      const due = Date.now() + 3_000
      const made: ({ to: string; message: string } & Awaited<ReturnType<typeof queue>>)[] = []
      for (let n = 0; n < 200; n++) {
        const to = `3460000${1_000 + (n % 20)}`
        made.push({
          to,
          message: `m${n}`,
          ...(await queue(n % 2 ? first : second, `m${n}`, { to, sendAt: new Date(due + n).toISOString() })),
        })
      }
      expect(made.filter(({ status }) => status !== 202)).toEqual([])
      await expect.poll(() => sandbox.sent.length, { interval: 5 }).toBeGreaterThan(40)
      first.kill('SIGKILL')
      const states = async () => {
        const all = await Promise.all(made.map(async ({ json, message }) => ({ message, state: await stateOf(second, json.id) })))
        return Map.groupBy(all, ({ state }) => state)
      }
      const open = ['queued', 'pending', undefined] // nothing: a busy store did not answer
      let ended = await states()
      const stillOpen = async () => {
        ended = await states()
        return open.filter(state => ended.has(state))
      }
      await expect.poll(stillOpen, { interval: 500 }).toEqual([])

      expect([...ended.keys()].filter(state => state !== 'unknown')).toEqual(['accepted'])
      const sent = sandbox.sent.map(({ message }) => String(message))
      expect(new Set(sent).size).toBe(sent.length)
      for (const { message } of ended.get('accepted') ?? []) expect(sent).toContain(message)
      const unknown = new Set(ended.get('unknown')?.map(({ message }) => message))
      expect(unknown.size).toBeLessThanOrEqual(20) // one of each conversation is in flight at most
      for (const to of new Set(made.map(({ to }) => to))) {
        const order = made.filter(one => one.to === to && sent.includes(one.message)).map(({ message }) => message)
        expect(sandbox.sent.filter(({ destination }) => destination === to).map(({ message }) => message)).toEqual(order)
      }
    },
  )

  test.skipIf(noServer)('goes on once after its server was away (needs redis-server)', async ({ sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const gateway = await startProgram(sandbox, { ...env, STORE_URL: server.fresh() })
    const due = await queue(gateway, 'due meanwhile', { sendAt: ahead(2_000) })
    await server.kill()
    await gateway.logged('ledger unavailable, sends get 503') // until then a claim may leave for a server that is gone, and end as `unknown`
    const body = { message: 'repeated', expiresAt: ahead(60_000) }
    const post = () => gateway.post(chat('34600000001'), body, { 'idempotency-key': 'k', prefer: 'respond-async' })
    expect(await post()).toMatchObject({ status: 503, json: { code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' } })
    await expect.poll(() => Date.now()).toBeGreaterThan(Date.parse(due.json.sendAt) + 1_000)
    expect(sandbox.sent).toEqual([])
    await server.restart()
    await becomes(gateway, due.json.id, 'accepted')
    await expect.poll(async () => (await post()).status).toBe(201)

    expect(sandbox.sent.map(({ message }) => message).sort()).toEqual(['due meanwhile', 'repeated'])
  })

  test.skipIf(noServer)('sends nothing again after a failover that lost its end (needs redis-server)', async ({ sandbox }) => {
    const primary = await startServer()
    const replica = await startServer({ settings: { replicaof: `127.0.0.1 ${primary.port}` } })
    for (const { end } of [primary, replica]) onTestFinished(end)
    await expect.poll(() => primary.cli('INFO', 'replication'), { interval: 50 }).toContain('state=online')
    const gateway = await startProgram(sandbox, { ...env, STORE_URL: primary.url() })
    sandbox.answer({ delayMs: 1_000 })
    const first = await queue(gateway, 'first')
    await sandbox.called(1)
    await expect.poll(() => replica.cli('HGET', 'afg:ledger', 'claims').trim()).toBe('2') // else the ledger that follows counts as changed
    replica.cli('REPLICAOF', 'NO', 'ONE')
    await becomes(gateway, first.json.id, 'accepted')
    await expect.poll(() => primary.cli('INFO', 'clients')).toContain('blocked_clients:0') // the gateway no longer waits for the replica
    await primary.kill()
    await gateway.logged('ledger unavailable, sends get 503')
    const lostAt = Date.now()
    await expect.poll(() => Date.now()).toBeGreaterThan(lostAt + 1_000) // the gateway asks in vain for what is due
    replica.cli('CONFIG', 'SET', 'port', String(primary.port))
    await gateway.logged('ledger available again')
    const second = await queue(gateway, 'second', { to: '34600000001' })
    await becomes(gateway, second.json.id, 'accepted')

    expect(await stateOf(gateway, first.json.id)).toBe('pending')
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['first', 'second'])
  })
})
