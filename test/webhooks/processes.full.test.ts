import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, onTestFinished } from 'vitest'
import { test } from '../gateway.ts'
import { baseline, write } from '../live/customers.ts'
import { startProgram } from '../program.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { secret, startReceiver } from './receiver.ts'

async function receiving() {
  const receiver = await startReceiver()
  onTestFinished(receiver.close)
  const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000', WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: secret }
  return { receiver, env }
}

/** Each was taken at least once, the first time in the order of its conversation. */
async function expectAll(receiver: Awaited<ReturnType<typeof startReceiver>>, chats: string[][]) {
  await expect.poll(() => chats.flat().filter(id => !receiver.taken.includes(id)), { interval: 200 }).toEqual([])
  for (const ids of chats) expect([...new Set(receiver.taken)].filter(id => ids.includes(id ?? ''))).toEqual(ids)
  expect(receiver.posts.filter(({ event }) => event.type === 'gap')).toEqual([])
}

describe('A receiver gets every event, in order', () => {
  test('although the gateway is killed, and the receiver is down, again and again', async ({ sandbox }) => {
    const { receiver, env } = await receiving()
    const first = await startProgram(sandbox, env)
    const STORE_URL = `sqlite:${join(first.folder, 'ledger.sqlite')}`
    await baseline(sandbox)
    const end = write(sandbox)
    let gateway = first
    for (let n = 0; n < 3; n++) {
      await expect.poll(() => receiver.taken.length, { interval: 20 }).toBeGreaterThan(10 * (n + 1))
      receiver.answer = () => (n % 2 ? 503 : response => void response.socket?.resetAndDestroy())
      await pause(300)
      gateway.kill('SIGKILL')
      await gateway.exited
      receiver.answer = () => 204
      gateway = await startProgram(sandbox, { ...env, STORE_URL })
    }

    await expectAll(receiver, await end())
  })

  test.skipIf(noServer)(
    'although its deliverer is frozen beside another one, and goes on later (needs redis-server)',
    async ({ sandbox }) => {
      const { receiver, env } = await receiving()
      const server = await startServer()
      onTestFinished(server.end)
      const url = server.fresh()
      const start = () => startProgram(sandbox, { ...env, STORE_URL: url })
      const first = await start()
      await first.logged('polling for events started')
      const second = await start()
      await baseline(sandbox)
      const end = write(sandbox)
      for (const [frozen, enough] of [
        [first, 20],
        [second, 60],
      ] as const) {
        await expect.poll(() => receiver.taken.length, { interval: 20 }).toBeGreaterThan(enough)
        frozen.kill('SIGSTOP')
        const before = receiver.posts.length
        await expect.poll(() => receiver.posts.length, { interval: 20 }).toBeGreaterThan(before + 20)
        frozen.kill('SIGCONT')
        await pause(1_000)
      }

      await expectAll(receiver, await end())
    },
  )
})
