import { rmSync } from 'node:fs'
import { describe, expect, onTestFinished } from 'vitest'
import type { TestGateway } from '../../gateway.ts'
import { noServer, startServer } from '../../store/valkey/server.ts'
import { say, test } from './command.ts'

const metric = async ({ adminUrl }: TestGateway) =>
  /^gateway_ledger_changed (\d)$/m.exec(await (await fetch(`${adminUrl}/metrics`)).text())?.[1]

/** A ledger, and what replaces it by an empty one under a gateway that uses it. */
const ledgers = {
  SQLite: async (path: string) => ({
    url: `sqlite:${path}`,
    replace() {
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
    },
  }),
  'Valkey or Redis': async () => {
    const server = await startServer()
    onTestFinished(server.end)
    return { url: server.url(), replace: () => void server.cli('FLUSHALL') }
  },
}

const refused = { status: 503, json: { code: 'ledger-changed', outcome: 'not_applied', retry: 'no' } }

for (const [name, open] of Object.entries(ledgers)) {
  describe.skipIf(name !== 'SQLite' && noServer)(`a ledger that is replaced under a gateway: ${name}`, () => {
    test('stops sends with a key until npm run store -- accept', async ({ start, sandbox, path, run }) => {
      const { url, replace } = await open(path)
      const gateway = await start({ env: { STORE_URL: url } })
      const sent = await say(gateway, 'k')
      replace()
      const again = await say(gateway, 'k')
      const other = await say(gateway, 'another')
      const keyless = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'No key' })
      const listed = await gateway.get('/sends')
      const changed = await metric(gateway)
      const line = await gateway.logged(({ msg }) => String(msg).startsWith('ledger changed'))
      const accepted = await run(['accept'], { env: { STORE_URL: url } })
      await expect.poll(async () => (await say(gateway, 'k')).status).toBe(201)

      expect(sent.status).toBe(201)
      for (const reply of [again, other]) {
        expect(reply).toMatchObject(refused)
        expect(reply.headers).not.toHaveProperty('retry-after')
      }
      expect(keyless.status).toBe(201)
      expect(listed).toMatchObject({ status: 200, json: { items: [{ id: keyless.json.id }] } })
      expect([changed, await metric(gateway)]).toEqual(['1', '0'])
      expect(line).toMatchObject({ level: 50 })
      expect(accepted).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('within 5 seconds') })
      expect(sandbox.sent.map(({ message }) => message)).toEqual(['Hello', 'No key', 'Hello'])
    })

    test('is accepted by a restart', async ({ start, path }) => {
      const { url, replace } = await open(path)
      const gateway = await start({ env: { STORE_URL: url } })
      await say(gateway, 'k')
      replace()
      const before = await say(gateway, 'k')
      await gateway.drain()
      const restarted = await start({ env: { STORE_URL: url } })

      expect(before).toMatchObject(refused)
      await expect.poll(async () => (await say(restarted, 'k')).status).toBe(201)
    })
  })
}

describe('npm run store -- accept', () => {
  test('changes nothing where nothing was replaced', async ({ start, sandbox, url, run }) => {
    const gateway = await start({ env: { STORE_URL: url } })
    const first = await say(gateway, 'k')

    expect(await run(['accept'])).toMatchObject({ code: 0 })
    expect(await say(gateway, 'k')).toMatchObject({ text: first.text, headers: { 'idempotency-replayed': 'true' } })
    expect(sandbox.sent).toHaveLength(1)
  })
})
