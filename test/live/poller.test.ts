import { describe, expect, onTestFinished, vi } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { StoreUnavailableError } from '../../src/store/store.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { type Polling, test } from './polling.ts'

const channel = { platform: 'whatsapp', platformid: '100' }
const chat = { ...channel, destination: '34600000000' }
const newChat = { ...channel, destination: '34600000009' }
const watched = { channels: ['whatsapp/100'] }

/** How many calls of a method Afilnet has seen. */
const callsOf = ({ calls }: Sandbox, name: string) => calls.filter(({ params }) => Object.fromEntries(params).method === name).length

const polls = ({ observed }: Polling, ok: boolean) =>
  observed.filter(({ event, details }) => event === 'pollEnded' && details.ok === ok).length

/** Waits until every channel has its baseline, and then for one more poll. */
const quiet = async (polling: Polling, channels = 1) => {
  const before = polls(polling, true)
  await expect.poll(() => polls(polling, true) - before).toBeGreaterThanOrEqual(2 * channels)
}

const eventsOf = async ({ events }: Polling) => (await events()).map(({ type, messageId }) => [type, messageId])
const created = async ({ events }: Polling) =>
  (await events()).filter(({ type }) => type === 'message.created').map(({ messageId }) => messageId)

describe('The poller', () => {
  test('makes one event of each message after the baseline, in order, and reads only what changed', async ({ startPolling, sandbox }) => {
    const polling = await startPolling()
    await quiet(polling, 4)
    const ids = ['Hello', 'Hello', 'Are you there?'].map(message => sandbox.receive({ ...chat, message }))
    await expect.poll(() => created(polling)).toEqual(ids)
    ids.push(sandbox.receive({ ...newChat, message: 'I am new here' }))
    await expect.poll(() => created(polling)).toEqual(ids)
    await quiet(polling, 4)

    expect((await polling.events())[0]).toMatchObject({
      platform: 'whatsapp',
      platformId: '100',
      destination: chat.destination,
      direction: 'in',
    })
    expect(callsOf(sandbox, 'getmessages')).toBeLessThan(6)
    expect(callsOf(sandbox, 'getunreadmessages')).toBe(0)
  })

  test('makes an event of a status that changes', async ({ startPolling, sandbox }) => {
    const polling = await startPolling(watched)
    await quiet(polling)
    const id = sandbox.receive({ ...chat, message: 'Hello' })
    await expect.poll(() => created(polling)).toEqual([id])
    sandbox.mark(chat, id, 'read')

    const events = [
      ['message.created', id],
      ['message.updated', id],
    ]
    await expect.poll(() => eventsOf(polling)).toEqual(events)
  })

  test('goes on where it ended, in another process', async ({ startPolling, sandbox }) => {
    const first = await startPolling(watched)
    await quiet(first)
    const one = sandbox.receive({ ...chat, message: 'One' })
    await expect.poll(() => created(first)).toEqual([one])
    await first.stop()
    const two = sandbox.receive({ ...chat, message: 'Two' })
    const three = sandbox.receive({ ...newChat, message: 'Three' })
    const second = await startPolling(watched)

    await expect.poll(async () => (await created(second)).toSorted()).toEqual([one, two, three])
  })

  test('polls in one process at a time, and in the next one when that ends', async ({ startPolling, sandbox }) => {
    const first = await startPolling(watched)
    await quiet(first)
    const second = await startPolling(watched)
    await quiet(first)
    expect(second.observed).toEqual([])
    await first.stop()
    await quiet(second)
    const id = sandbox.receive({ ...chat, message: 'Hello' })

    await expect.poll(() => created(second)).toEqual([id])
  })

  test('watches channels that appear, and no others than its patterns name', async ({ startPolling, sandbox }) => {
    const polling = await startPolling({ channels: ['telegram/*', 'web*/10'] })
    await quiet(polling, 2)
    sandbox.receive({ ...chat, message: 'Not watched' })
    const id = sandbox.receive({ platform: 'webchat', platformid: '10', destination: 'visitor-7f3a', message: 'Watched' })

    await expect.poll(() => created(polling)).toEqual([id])
    const asked = sandbox.calls.filter(({ params }) => Object.fromEntries(params).method === 'getchats')
    expect(new Set(asked.map(({ params }) => Object.fromEntries(params).platform))).toEqual(new Set(['telegram', 'webchat']))
  })

  test('rests no longer because the clock was set forward while Afilnet answered', async ({ startPolling, sandbox }) => {
    const polling = await startPolling(watched)
    await quiet(polling)
    const before = callsOf(sandbox, 'getchats')
    sandbox.answer({ method: 'getchats', delayMs: 200 })
    await sandbox.until(() => callsOf(sandbox, 'getchats') > before)
    const { now } = Date
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000)
    onTestFinished(() => void vi.restoreAllMocks())

    await quiet(polling)
  })

  test('backs off while Afilnet fails, and misses nothing', async ({ startPolling, sandbox }) => {
    const polling = await startPolling(watched)
    await quiet(polling)
    sandbox.answer({ status: 500, times: 3 }) // a read is asked up to three times
    const id = sandbox.receive({ ...chat, message: 'Hello' })

    await expect.poll(() => created(polling)).toEqual([id])
    expect(polls(polling, false)).toBeGreaterThan(0)
  })

  test('reads a conversation again in which a send has no final delivery, and finds a change that getchats does not show', async ({
    startPolling,
    sandbox,
  }) => {
    const first = await startPolling(watched)
    await quiet(first)
    const ids = ['One', 'Two'].map(message => sandbox.receive({ ...chat, message, sent: true }))
    await expect.poll(() => created(first)).toEqual(ids)
    await first.stop()
    sandbox.mark(chat, String(ids[0]), 'delivered')
    const undelivered = async () => [{ platform: 'whatsapp', platformId: '100', destination: chat.destination }]
    const second = await startPolling({ ...watched, hooks: { undelivered } })

    await expect.poll(async () => (await eventsOf(second)).at(-1)).toEqual(['message.updated', ids[0]])
  })

  test('tells others what it has read before it appends the events, and again if they could not take it', async ({
    startPolling,
    sandbox,
  }) => {
    const told: { change: string | undefined; appended: number }[] = []
    let polling: Polling
    polling = await startPolling({
      ...watched,
      hooks: {
        async onRead({ rows }) {
          told.push({ change: rows.at(-1)?.change, appended: (await created(polling)).length })
          if (told.length === 1) throw new StoreUnavailableError('io')
        },
      },
    })
    await quiet(polling)
    const id = sandbox.receive({ ...chat, message: 'Hello' })

    await expect.poll(() => created(polling), { timeout: 40_000 }).toEqual([id])
    expect(told.slice(0, 2)).toEqual([
      { change: 'message.created', appended: 0 },
      { change: 'message.created', appended: 0 },
    ])
  })

  test('says that a channel has been unreadable for longer than the retention', async ({ startPolling, sandbox }) => {
    const polling = await startPolling({ ...watched, keepMs: 200 })
    await quiet(polling)
    sandbox.answer({ status: 500, method: 'getchats', times: 12 })

    await expect
      .poll(polling.events)
      .toMatchObject([{ type: 'gap', platform: 'whatsapp', platformId: '100', destination: null, reason: 'channel-unreadable' }])
  })

  test('does not tell again what was erased', async ({ startPolling, sandbox }) => {
    const polling = await startPolling(watched)
    await quiet(polling)
    const datetime = '2030-01-01 10:00:00'
    const id = sandbox.receive({ ...newChat, message: 'Forget me', datetime })
    await expect.poll(() => created(polling)).toEqual([id])
    await polling.forget(newChat.destination)
    expect(await polling.events()).toEqual([])
    const next = sandbox.receive({ ...newChat, message: 'Me again', datetime: '2030-01-01 10:00:01' })

    await expect.poll(() => created(polling)).toEqual([next])
  })

  test('has no direction with AFILNET_SENT=ignore', async ({ startPolling, sandbox }) => {
    const polling = await startPolling({ ...watched, env: { AFILNET_SENT: 'ignore' } })
    await quiet(polling)
    sandbox.receive({ ...chat, message: 'Hello' })

    await expect.poll(polling.events).toMatchObject([{ type: 'message.created', direction: null }])
  })

  test.skipIf(noServer)('says once that the store denies the commands of events (needs redis-server)', async ({ startPolling }) => {
    const server = await startServer()
    onTestFinished(server.end)
    server.cli('ACL', 'SETUSER', 'gateway', 'on', '>fake-store-password', '~afg:*', '+@all', '-xadd')
    const polling = await startPolling({ ...watched, storeUrl: server.url().replace('//', '//gateway:fake-store-password@') })
    const denials = () => polling.observed.filter(({ event }) => event === 'pollingDenied')
    await expect.poll(denials).toHaveLength(1)
    server.cli('ACL', 'SETUSER', 'gateway', '+xadd')
    await quiet(polling)

    expect(denials()).toMatchObject([{ details: { account: 'default' } }])
  })

  test('reports a list beyond the size limit', async ({ startPolling, sandbox }) => {
    const polling = await startPolling({ ...watched, env: { AFILNET_MAX_RESPONSE_BYTES: '20000' } })
    await quiet(polling)
    sandbox.fill({ ...channel, conversations: 200 })

    await expect.poll(() => polling.observed.map(({ event }) => event)).toContain('listTooLarge')
    await expect.poll(() => polling.pollers.report()).toMatchObject([{ account: 'default', watched: 1, unreadable: 1 }])
  })
})
