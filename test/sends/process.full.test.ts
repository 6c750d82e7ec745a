import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { createGatewayProcess, type GatewayProcess } from '../fault-injection/gateway-process.ts'
import { test as base, canaries, environment } from '../gateway.ts'

type Here = {
  /** A process that is not started yet; killed at the end. */
  make: (env?: Record<string, string>) => GatewayProcess
}
const test = base.extend<Here>({
  make: async ({ sandbox, ledgerFile: file }, use) => {
    const made: GatewayProcess[] = []
    await use((env = {}) => {
      const all = { ...(environment(sandbox, 5_000) as Record<string, string>), STORE_URL: `sqlite:${file}`, ...env } // strings without exception
      const gateway = createGatewayProcess(all)
      made.push(gateway)
      return gateway
    })
    for (const gateway of made) await gateway.stop('SIGKILL')
  },
})

const authorization = `Bearer ${canaries.key}`

async function say(gateway: GatewayProcess, key: string) {
  const answer = await fetch(`${gateway.url()}/chats/whatsapp/100/34600000000/messages`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json', 'idempotency-key': key },
    body: '{"message":"Hello"}',
  })
  const text = await answer.text()
  return { status: answer.status, replayed: answer.headers.get('idempotency-replayed') === 'true', text, json: JSON.parse(text) }
}
/** For posts whose process ends before them. */
const lost = (work: Promise<unknown>) =>
  work.then(
    () => 'answered',
    () => 'lost',
  )
async function pending(gateway: GatewayProcess): Promise<number> {
  const answer = await fetch(`${gateway.url()}/sends?state=pending`, { headers: { authorization } })
  return ((await answer.json()) as { items: unknown[] }).items.length // the contract has it so
}

describe.concurrent('A gateway on a file', () => {
  test('that is killed before, during and after a send marks it as unknown, and never sends it again', async ({
    make,
    sandbox,
    expect,
  }) => {
    const gateway = make({ AFILNET_CONNECTIONS: '1', AFILNET_TIMEOUT_MS: '30000' })
    await gateway.start()
    const after = await say(gateway, 'after')
    sandbox.answer({ fault: 'silent' })
    const inside = lost(say(gateway, 'inside'))
    await sandbox.called(2)
    const before = lost(say(gateway, 'before')) // waits for the only place
    await expect.poll(() => pending(gateway)).toBe(2)
    await gateway.stop('SIGKILL')
    await gateway.start()
    const early = await say(gateway, 'inside')
    await expect.poll(() => pending(gateway), { interval: 100 }).toBe(0)

    expect(await Promise.all([inside, before])).toEqual(['lost', 'lost'])
    // A gateway that takes long to start may find the lease of the dead one expired.
    expect(['idempotency-key-in-use', 'send-interrupted']).toContain(early.json.code)
    for (const key of ['inside', 'before']) {
      const [one, two] = [await say(gateway, key), await say(gateway, key)]
      const problem = { code: 'send-interrupted', outcome: 'unknown', retry: 'same-key', sendId: expect.any(String) }
      expect(one).toMatchObject({ status: 502, replayed: true, json: problem })
      expect(two).toEqual(one)
    }
    expect(await say(gateway, 'after')).toEqual({ ...after, replayed: true })
    expect(sandbox.calls).toHaveLength(2)
    expect(gateway.errors).toEqual([])
  })

  test('ends within DRAIN_MS although Afilnet never answers, and keeps the send as unknown', async ({ make, sandbox }) => {
    const drainMs = 30_000 // far more than it needs: a busy machine may take long to end a process
    const gateway = make({ AFILNET_TIMEOUT_MS: '1500', DRAIN_MS: String(drainMs) })
    await gateway.start()
    sandbox.answer({ fault: 'silent' })
    const reply = say(gateway, 'k')
    await sandbox.called(1)
    const { code, ms } = await gateway.stop('SIGTERM')
    await gateway.start()

    expect({ code, inTime: ms < drainMs }).toEqual({ code: 0, inTime: true })
    expect(await reply).toMatchObject({ status: 504, json: { outcome: 'unknown' } })
    expect(await say(gateway, 'k')).toEqual({ ...(await reply), replayed: true })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('is not taken for dead by another process while it is only slow', async ({ make, sandbox }) => {
    const [slow, other] = [make({ AFILNET_TIMEOUT_MS: '13000' }), make()]
    await Promise.all([slow.start(), other.start()])
    sandbox.answer({ fault: 'silent' })
    const reply = say(slow, 'k')
    await sandbox.called(1)
    const during = await say(other, 'k')

    expect(during).toMatchObject({ status: 409, json: { code: 'idempotency-key-in-use' } })
    expect(await reply).toMatchObject({ status: 504, json: { code: 'upstream-timeout', sendId: during.json.sendId } })
    expect(await say(other, 'k')).toEqual({ ...(await reply), replayed: true })
    expect(sandbox.calls).toHaveLength(1)
  })

  test('sends once, whichever of two processes get the same request', async ({ make, sandbox }) => {
    const gateways = [make(), make()]
    await Promise.all(gateways.map(gateway => gateway.start()))
    sandbox.latencyMs = 100
    const replies = await Promise.all(Array.from({ length: 15 }, () => gateways.map(gateway => say(gateway, 'k'))).flat())

    expect(new Set(replies.map(({ json }) => json.sendId ?? json.id)).size).toBe(1)
    expect(replies.filter(({ status, replayed }) => status === 201 && !replayed)).toHaveLength(1)
    expect(sandbox.calls).toHaveLength(1)
  })

  test('refuses a ledger of a newer release and logs its version', async ({ make, ledgerFile: file }) => {
    const first = make()
    await first.start()
    await first.stop('SIGTERM')
    const db = new DatabaseSync(file)
    db.exec('PRAGMA user_version = 99')
    db.close()
    const gateway = make()

    await expect(gateway.start()).rejects.toThrow('78')
    expect(JSON.parse(gateway.errors.at(-1)?.line ?? '')).toMatchObject({
      msg: 'cannot start',
      store: expect.stringContaining('schema version 99'),
    })
  })

  test('opens the ledger of the first release', async ({ make, ledgerFile: file }) => {
    copyFileSync(join(import.meta.dirname, '..', 'store', 'fixtures', 'version-1.sqlite'), file)
    const gateway = make()
    await gateway.start()

    expect((await say(gateway, 'k')).status).toBe(201)
    expect(gateway.errors).toEqual([])
  })
})
