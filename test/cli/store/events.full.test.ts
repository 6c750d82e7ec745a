import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { created } from '../../store/event-contract.ts'
import { ended, policy, send } from '../../store/sends.ts'
import { figures, number, rowsIn, test } from './command.ts'

describe('npm run store', () => {
  test('counts the events, exports those of a person, and leaves all of them out of a copy', async ({ dir, url, run }) => {
    const store = await openStore(url, policy)
    const { identity } = await store.log.open('main')
    const states = [
      { key: '["whatsapp","100"]', destination: null, state: 'of the channel' },
      { key: `["whatsapp","100","${number}"]`, destination: number, state: 'of the person' },
      { key: '["whatsapp","100","34600000000"]', destination: '34600000000', state: 'of another' },
    ]
    await store.log.append('main', { states, events: [created('1', { destination: number }), created('2')] })
    const row = send({ destination: number, idempotencyKey: 'k' })
    await store.claim(row)
    await store.settle(row, { ...ended('accepted'), late: true })
    await store.close()
    const copy = `sqlite:${join(dir, 'copy.sqlite')}`
    const [checked, copied, again, exported] = [
      await run(['check']),
      await run(['copy', url, copy]),
      await run(['copy', url, copy]),
      await run(['export', '--destination', number]),
    ]

    expect(figures(checked.stdout)).toMatchObject({ sends: 1, events: 3, known: 2 })
    for (const { code, stdout } of [copied, again]) {
      expect([code, figures(stdout).events]).toEqual([0, 3])
      expect(stdout).toContain('each consumer and webhook gets one gap (log-replaced)')
    }
    const [sent, one, updated, known, ...more] = rowsIn(exported.stdout)
    expect(sent).toMatchObject({ id: row.id, destination: number })
    expect(one).toMatchObject({ account: 'main', event: { type: 'message.created', messageId: '1', destination: number } })
    expect(updated).toMatchObject({ event: { type: 'send.updated', send: { id: row.id, idempotencyKey: 'k', state: 'accepted' } } })
    expect(known).toEqual({ account: 'main', conversation: states[1]?.key, state: 'of the person' })
    expect(more).toEqual([])

    const target = await openStore(copy, policy)
    expect(await target.log.accounts()).toEqual([])
    expect((await target.log.open('main')).identity).not.toBe(identity)
    await target.close()
  })

  test('moves a ledger: a consumer that goes on with its old cursor gets one gap, and then what is new', async ({
    dir,
    url,
    run,
    start,
    sandbox,
  }) => {
    const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }
    const chat = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
    const first = await start({ env: { ...env, STORE_URL: url } })
    await first.logged(({ msg }) => msg === 'polling for events started')
    await expect.poll(() => sandbox.calls.length).toBeGreaterThan(1)
    sandbox.receive({ ...chat, message: 'Hello' })
    await expect.poll(async () => (await first.get('/events')).json.items.length).toBe(1)
    const { nextCursor } = (await first.get('/events')).json
    await first.drain()
    const copy = `sqlite:${join(dir, 'copy.sqlite')}`
    await run(['copy', url, copy])
    const second = await start({ env: { ...env, STORE_URL: copy } })
    const polled = sandbox.calls.length
    await expect.poll(() => sandbox.calls.length).toBeGreaterThan(polled + 1)
    const messageId = sandbox.receive({ ...chat, message: 'Hello again' })

    await expect
      .poll(async () => (await second.get(`/events?after=${nextCursor}`)).json.items)
      .toMatchObject([
        { type: 'gap', reason: 'log-replaced', destination: null },
        { type: 'message.created', messageId },
      ])
  })
})
