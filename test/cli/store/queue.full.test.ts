import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { runDoctorCommand } from '../../../src/cli/doctor/command.ts'
import { environment, type TestGateway } from '../../gateway.ts'
import { settled as ended } from '../../routes/sending.ts'
import { figures, number, test } from './command.ts'

const text = 'Meet me at the canary fountain'
const env = { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') }
const ahead = (ms: number) => new Date(Date.now() + ms).toISOString()

/** The id of a send that waits. */
async function queue(gateway: TestGateway, dueInMs: number, destination = number, more: object = {}) {
  const body = { message: text, sendAt: ahead(dueInMs), ...more }
  const { status, json } = await gateway.post(`/chats/whatsapp/100/${destination}/messages`, body)
  expect(status).toBe(202)
  return json.id as string
}
/** Sets a time of a send that waits to now: however long a machine takes, it was later before. */
function bringForward(path: string, column: 'nextAt' | 'expiresAt', ...ids: string[]) {
  const db = new DatabaseSync(path, { timeout: 5_000 })
  for (const id of ids) db.prepare(`UPDATE queue SET ${column} = ? WHERE id = ?`).run(Date.now(), id)
  db.close()
}
/** Makes a file of the release before out of one of this release. */
function makeOlder(path: string) {
  const db = new DatabaseSync(path)
  db.exec('DROP INDEX queueByState; CREATE INDEX queueByState ON queue (state, nextAt); PRAGMA user_version = 10')
  db.close()
}
const stateOf = async (gateway: TestGateway, id: string) => (await gateway.get(`/sends/${id}`)).json.state

describe('npm run store, with queued sends', () => {
  test('leaves them out of a copy and says how many: only the original sends them', async ({ start, sandbox, url, path, run }) => {
    const original = await start({ env: { ...env, STORE_URL: url } })
    const ids = [await queue(original, 500_000), await queue(original, 600_000)]
    await original.post(`/chats/whatsapp/100/${number}/messages`, { message: 'Hello' })
    const first = await run(['copy', url, `sqlite:${path}.copy`])
    const copy = await start({ env: { ...env, STORE_URL: `sqlite:${path}.copy` } })

    expect(first.code).toBe(0)
    expect(first.stdout).toMatch(/^ +2 that are queued: both ledgers would send them$/m)
    expect(figures(first.stdout)).toMatchObject({ read: 3, copied: 1 })
    for (const id of ids) expect((await copy.get(`/sends/${id}`)).status).toBe(404)
    bringForward(path, 'nextAt', ids[0] ?? '')
    await ended(original, ids[0] ?? '', 'accepted')
    const second = await run(['copy', url, `sqlite:${path}.copy`])
    expect(second.stdout).toMatch(/^ +1 that are queued/m)
    expect(await stateOf(copy, ids[0] ?? '')).toBe('accepted')
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['Hello', text])
  })

  test('never prints their text, and erases it with the number from the bytes of the file', async ({ start, url, path, run }) => {
    const gateway = await start({ env: { ...env, STORE_URL: url } })
    const id = await queue(gateway, 600_000)
    const bytes = () => Buffer.concat(['', '-wal'].map(suffix => readFileSync(path + suffix)))
    const sealed =
      bytes()
        .toString('latin1')
        .match(/[0-9a-f]{8}\.[\w-]{60,}/)?.[0] ?? ''
    const exported = await run(['export'])
    const checked = await run(['check'])
    const forgotten = await run(['forget', number])

    expect(exported.stdout).toContain(id)
    expect(sealed).not.toBe('')
    for (const { stdout } of [exported, checked, forgotten]) {
      expect(stdout).not.toContain(sealed.slice(9))
      expect(stdout).not.toContain(text)
    }
    expect(figures(forgotten.stdout)).toEqual({ gone: 1, pending: 0 })
    expect(bytes().includes(sealed)).toBe(false)
    expect((await gateway.get(`/sends/${id}`)).status).toBe(404)
  })

  test('hold-queue keeps a restored ledger of an older release from sending again, doctor says how many are held, release-queue lets the rest go', async ({
    start,
    sandbox,
    url,
    path,
    dir,
    run,
  }) => {
    const gateway = await start({ env: { ...env, STORE_URL: url } })
    const sent = await queue(gateway, 500_000)
    const late = await queue(gateway, 500_000, '34600000001', { expiresAt: ahead(900_000) })
    const later = await queue(gateway, 600_000)
    await gateway.drain()
    bringForward(path, 'nextAt', sent, late)
    copyFileSync(path, join(dir, 'backup.sqlite')) // nobody has it open
    makeOlder(join(dir, 'backup.sqlite'))
    const after = await start({ env: { ...env, STORE_URL: url } })
    for (const id of [sent, late]) await ended(after, id, 'accepted')
    await after.drain()

    const restored = `sqlite:${join(dir, 'backup.sqlite')}`
    const onRestored = { env: { STORE_URL: restored } }
    expect(figures((await run(['hold-queue'], onRestored)).stdout)).toEqual({ held: 3 })
    const gatewayAfterwards = await start({ env: { ...env, STORE_URL: restored } })
    const fresh = await queue(gatewayAfterwards, -1, '34600000002')
    await ended(gatewayAfterwards, fresh, 'accepted')
    bringForward(join(dir, 'backup.sqlite'), 'expiresAt', late)
    await ended(gatewayAfterwards, late, 'expired')
    expect(await stateOf(gatewayAfterwards, sent)).toBe('queued')
    expect(sandbox.sent).toHaveLength(3)

    const { output = '' } = await runDoctorCommand([], { ...environment(sandbox, 5_000), ...env, STORE_URL: restored })
    expect(output).toMatch(/queued sends: 0 wait, 2 are held/)
    expect(output).toContain('release-queue')
    expect((await gatewayAfterwards.request(`/sends/${sent}`, { method: 'DELETE' })).json).toMatchObject({ state: 'canceled' })
    expect(figures((await run(['release-queue'], onRestored)).stdout)).toEqual({ released: 1 })
    expect(await stateOf(gatewayAfterwards, later)).toBe('queued')
    expect((await runDoctorCommand([], { ...environment(sandbox, 5_000), ...env, STORE_URL: restored })).output).toMatch(
      /queued sends: 1 wait, 0 are held/,
    )
    expect(sandbox.sent).toHaveLength(3)
  })
})
