import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, onTestFinished } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import { test } from '../gateway.ts'
import { startProgram } from '../program.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { baseline, write } from './customers.ts'

const events = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }

async function eventsIn(url: string) {
  const store = await openStore(url, { keepMs: 1e9, keepUnknownMs: 1e9, leaseMs: 10_000, maxBytes: 1e9 })
  try {
    const all = []
    for (let after = 0; ; ) {
      const { events } = await store.log.read('default', after, 1_000)
      if (events.length === 0) return all
      all.push(...events)
      after = events.at(-1)?.position ?? 0
    }
  } finally {
    await store.close()
  }
}

async function expectEachOnce(url: string, ids: string[]) {
  const found = await eventsIn(url)
  const created = found.filter(({ type }) => type === 'message.created')
  expect(created.map(({ messageId }) => messageId).sort()).toEqual(ids.toSorted())
  expect(found.filter(({ type }) => type === 'gap')).toEqual([])
  for (const ofChat of Map.groupBy(created, ({ destination }) => destination).values()) {
    const order = ofChat.map(({ messageId }) => Number(messageId))
    expect(order).toEqual(order.toSorted((a, b) => a - b))
  }
}

describe('Each message is one event', () => {
  test('although the gateway is killed again and again', async ({ sandbox }) => {
    const first = await startProgram(sandbox, events)
    const url = `sqlite:${join(first.folder, 'ledger.sqlite')}`
    await baseline(sandbox)
    const end = write(sandbox)
    first.kill('SIGKILL')
    await first.exited
    for (let n = 0; n < 3; n++) {
      const gateway = await startProgram(sandbox, { ...events, STORE_URL: url })
      await gateway.logged('polling for events started')
      await pause(n * 700)
      gateway.kill('SIGKILL')
      await gateway.exited
    }
    const last = await startProgram(sandbox, { ...events, STORE_URL: url })
    const ids = (await end()).flat()
    await baseline(sandbox)
    await baseline(sandbox)
    last.kill('SIGTERM')
    await last.exited

    await expectEachOnce(url, ids)
  })

  test.skipIf(noServer)('although its poller is killed and frozen beside another one (needs redis-server)', async ({ sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const url = server.fresh()
    const start = () => startProgram(sandbox, { ...events, STORE_URL: url })
    const first = await start()
    await first.logged('polling for events started')
    const second = await start()
    await baseline(sandbox)
    const end = write(sandbox)
    await pause(1_500)
    first.kill('SIGKILL')
    await second.logged('polling for events started')
    await baseline(sandbox)
    const third = await start()
    second.kill('SIGSTOP')
    await third.logged('polling for events started')
    await baseline(sandbox)
    second.kill('SIGCONT')
    await second.logged('polling for events ended')
    const ids = (await end()).flat()
    await baseline(sandbox)
    await baseline(sandbox)

    await expectEachOnce(url, ids)
  })
})
