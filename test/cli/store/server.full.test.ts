import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { policy, send } from '../../store/sends.ts'
import { noServer, type Server, startServer } from '../../store/valkey/server.ts'
import { test as base, number, say, settled } from './command.ts'

const test = base.extend<{ server: Server }>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  server: async ({}, use) => {
    const server = await startServer()
    await use(server)
    await server.end()
  },
})

describe.skipIf(noServer)('npm run store with a server (needs redis-server)', () => {
  test('checks, exports and forgets, and shows neither user nor password', async ({ server, run }) => {
    server.cli('CONFIG', 'SET', 'requirepass', 'fake-canary-server-password')
    const STORE_URL = server.url(1).replace('//', '//:fake-canary-server-password@')
    const store = await openStore(STORE_URL, policy)
    await store.load([settled({ destination: number }), settled(), { ...send(), state: 'pending' }])
    await store.close()
    const env = { STORE_URL }

    const outputs = [
      await run(['check'], { env }),
      await run(['export'], { env }),
      await run(['forget', '-'], { env, input: `${number}\n` }),
      await run(['export'], { env }),
    ]

    expect(outputs.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    expect(outputs[0]?.stdout).toMatch(/sends +3\n/)
    expect(outputs[1]?.stdout).toContain(number)
    expect(outputs[2]?.stdout).toMatch(/gone +1\n/)
    expect(outputs[3]?.stdout).not.toContain(number)
    expect(server.cli('-a', 'fake-canary-server-password', '--scan')).not.toContain(number)
    expect(JSON.stringify(outputs)).not.toContain('fake-canary')
  })

  test('says what is wrong with a server in words of servers, and makes no ledger where there is none', async ({ server, run }) => {
    const empty = await run(['check'], { env: { STORE_URL: server.url(2) } })
    await server.kill()
    const away = await run(['check'], { env: { STORE_URL: server.url(2) } })

    expect(empty).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^STORE_URL: there is no ledger\. Check host/) })
    expect(away).toMatchObject({ code: 1, stdout: '' })
    expect(away.stderr).toMatch(/^STORE_URL: it cannot be reached\. Check host, port/)
  })

  test('copies keys from SQLite to Valkey and back', async ({ start, sandbox, url, dir, server, run }) => {
    const there = server.fresh()
    const back = `sqlite:${join(dir, 'back.sqlite')}`
    const original = await start({ env: { STORE_URL: url } })
    const sent = await say(original, 'once')
    await original.drain()

    expect(await run(['copy', url, there])).toMatchObject({ code: 0 })
    expect(await run(['copy', there, back])).toMatchObject({ code: 0 })

    for (const STORE_URL of [there, back]) {
      const gateway = await start({ env: { STORE_URL } })
      const again = await say(gateway, 'once')
      expect(again).toMatchObject({ status: 201, json: sent.json, headers: { 'idempotency-replayed': 'true' } })
      expect(await say(gateway, 'once', '34600000000', 'Something else')).toMatchObject({ status: 422 })
    }
    expect(sandbox.sent).toHaveLength(1)
  })
})
