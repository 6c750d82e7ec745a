import { describe, expect, onTestFinished, vi } from 'vitest'
import type { Chat } from '../../src/access.ts'
import type { ConversationRead } from '../../src/live/ports.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { StoreUnavailableError } from '../../src/store/store.ts'
import { hold } from '../gateway.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { created, type Polling, polls, quiet, test } from './polling.ts'

const channel = { platform: 'whatsapp', platformid: '100' }
const chat = { ...channel, destination: '34600000000' }
const newChat = { ...channel, destination: '34600000009' }
const watched = { channels: ['whatsapp/100'] }

/** How many calls of a method Afilnet has seen. */
const callsOf = ({ calls }: Sandbox, name: string) => calls.filter(({ params }) => Object.fromEntries(params).method === name).length

/** A wall clock that the test sets forward. */
const settableClock = () => {
  const { now } = Date
  const clock = { aheadMs: 0 }
  vi.spyOn(Date, 'now').mockImplementation(() => now() + clock.aheadMs)
  onTestFinished(() => void vi.restoreAllMocks())
  return clock
}
const hour = 3_600_000

const eventsOf = async ({ events }: Polling) => (await events()).map(({ type, messageId }) => [type, messageId])

describe('The poller', () => {
  test('makes one event of each message after the baseline, in order, and reads only what changed', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({}, 4)
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

  test('makes an event of a status that changes', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet(watched)
    const id = sandbox.receive({ ...chat, message: 'Hello' })
    await expect.poll(() => created(polling)).toEqual([id])
    sandbox.mark(chat, id, 'read')

    const events = [
      ['message.created', id],
      ['message.updated', id],
    ]
    await expect.poll(() => eventsOf(polling)).toEqual(events)
  })

  test('goes on where it ended, in another process', async ({ startPolling, startQuiet, sandbox }) => {
    const first = await startQuiet(watched)
    const one = sandbox.receive({ ...chat, message: 'One' })
    await expect.poll(() => created(first)).toEqual([one])
    await first.stop()
    const two = sandbox.receive({ ...chat, message: 'Two' })
    const three = sandbox.receive({ ...newChat, message: 'Three' })
    const told: ConversationRead[] = []
    const second = await startPolling({ ...watched, hooks: { onRead: async read => void told.push(read) } })

    await expect.poll(async () => (await created(second)).toSorted()).toEqual([one, two, three])
    expect(
      told.map(({ absentAt }) => absentAt),
      'what was known before counts',
    ).toEqual([expect.any(Number), expect.any(Number)])
  })

  test('polls in one process at a time, and in the next one when that ends', async ({ startPolling, startQuiet, sandbox }) => {
    const first = await startQuiet(watched)
    const second = await startPolling(watched)
    await quiet(first)
    expect(second.observed).toEqual([])
    await first.stop()
    await quiet(second)
    const id = sandbox.receive({ ...chat, message: 'Hello' })

    await expect.poll(() => created(second)).toEqual([id])
  })

  test('watches channels that appear, and no others than its patterns name', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ channels: ['telegram/*', 'web*/10'] }, 2)
    sandbox.receive({ ...chat, message: 'Not watched' })
    const id = sandbox.receive({ platform: 'webchat', platformid: '10', destination: 'visitor-7f3a', message: 'Watched' })

    await expect.poll(() => created(polling)).toEqual([id])
    const asked = sandbox.calls.filter(({ params }) => Object.fromEntries(params).method === 'getchats')
    expect(new Set(asked.map(({ params }) => Object.fromEntries(params).platform))).toEqual(new Set(['telegram', 'webchat']))
  })

  test('has polled where its patterns fit no channel, but not where Afilnet lists none', async ({ startPolling, sandbox }) => {
    sandbox.answer({ method: 'getchatchannels', times: 1, body: '{"status":"ERROR","error":"MISSING_CLASS"}' })
    const polling = await startPolling({ channels: ['whatsapp/9*'] })
    await expect.poll(() => callsOf(sandbox, 'getchatchannels')).toBe(1)
    expect(polls(polling, true)).toBe(0)

    await expect.poll(() => polls(polling, true)).toBe(1)
    expect(callsOf(sandbox, 'getchatchannels')).toBe(2)
  })

  test('asks for the list of channels only where a pattern needs it', async ({ startPolling, sandbox }) => {
    await quiet(await startPolling(watched))

    expect(callsOf(sandbox, 'getchatchannels')).toBe(0)
  })

  test('rests ten times as long as a poll takes', async ({ startPolling, sandbox }) => {
    sandbox.latencyMs = 50
    const { pollers } = await startPolling(watched)

    await expect.poll(() => pollers.report()[0]?.intervalMs).toBeGreaterThanOrEqual(500)
  })

  test('rests no longer because the clock was set forward while Afilnet answered', async ({ startQuiet, sandbox }) => {
    const clock = settableClock()
    const polling = await startQuiet(watched)
    const before = callsOf(sandbox, 'getchats')
    const release = hold(sandbox, { method: 'getchats' })
    await sandbox.until(() => callsOf(sandbox, 'getchats') > before)
    clock.aheadMs = hour
    release()

    await quiet(polling)
  })

  test('goes on with a channel that was gone for a while', async ({ startPolling, sandbox }) => {
    const undelivered = () => Promise.reject(new Error('looked for again soon')) // and with it, what the patterns name
    const polling = await startPolling({ channels: ['telegram/*'], hooks: { undelivered } })
    const watches = (count: number) => expect.poll(() => polling.pollers.report()[0]?.watched).toBe(count)
    await quiet(polling)
    sandbox.removeChannel('telegram', '200')
    await watches(0)
    sandbox.addChannel({ platform: 'telegram', platformid: '200', name: 'Back again' })
    const id = sandbox.receive({ platform: 'telegram', platformid: '200', destination: '7', message: 'Said meanwhile' })

    await expect.poll(() => created(polling)).toEqual([id])
  })

  test('leaves a channel alone for as long as Afilnet asks, and no other', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ channels: ['whatsapp/100', 'telegram/200'] }, 2)
    const asked = () => {
      const lists = sandbox.calls.map(({ params }) => Object.fromEntries(params)).filter(({ method }) => method === 'getchats')
      return ['whatsapp', 'telegram'].map(name => lists.filter(({ platform }) => platform === name).length)
    }
    sandbox.answer({ method: 'getchats', status: 429, headers: { 'retry-after': '30' } })
    await expect.poll(() => polls(polling, false)).toBe(1)
    const before = asked()
    const since = () => asked().map((count, n) => count - (before[n] ?? 0))
    await expect.poll(() => Math.max(...since())).toBeGreaterThan(20)

    expect(Math.min(...since())).toBe(0)
  })

  test('asks for nothing more once Afilnet has rejected the password', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet(watched)
    sandbox.answer({ method: 'getchats', body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' })
    await expect.poll(() => polls(polling, false)).toBeGreaterThan(0)
    const asked = sandbox.calls.length
    await expect.poll(() => polling.pollers.report()).toMatchObject([{ unreadable: 1 }])

    expect(polling.observed).toContainEqual({
      event: 'channelStateChanged',
      details: { account: 'default', readable: false, code: 'upstream-credentials-rejected' },
    })
    expect(sandbox.calls).toHaveLength(asked)
  })

  test('backs off while Afilnet fails, and misses nothing', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet(watched)
    sandbox.answer({ status: 500, times: 3 }) // a read is asked up to three times
    const id = sandbox.receive({ ...chat, message: 'Hello' })

    await expect.poll(() => created(polling)).toEqual([id])
    expect(polls(polling, false)).toBeGreaterThan(0)
  })

  test('says when a channel cannot be read, and when it can be again', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet(watched)
    const states = () => polling.observed.flatMap(({ event, details }) => (event === 'channelStateChanged' ? [details.readable] : []))
    sandbox.answer({ method: 'getchats', status: 429, headers: { 'retry-after': '0' }, times: 3 })

    await expect.poll(states).toEqual([false, true])
  })

  test('reads a conversation again in which a send has no final delivery, and finds a change that getchats does not show', async ({
    startPolling,
    startQuiet,
    sandbox,
  }) => {
    const before: ConversationRead[] = []
    const after: ConversationRead[] = []
    sandbox.latencyMs = 20
    const first = await startQuiet({ ...watched, hooks: { onRead: async read => void before.push(read) } })
    const ids = ['One', 'Two'].map(message => sandbox.receive({ ...chat, message, sent: true }))
    await expect.poll(() => created(first)).toEqual(ids)
    await first.stop()
    sandbox.mark(chat, String(ids[0]), 'delivered')
    const undelivered = async () => [{ platform: 'whatsapp', platformId: '100', destination: chat.destination }]
    const second = await startPolling({ ...watched, hooks: { undelivered, onRead: async read => void after.push(read) } })

    await expect.poll(async () => (await eventsOf(second)).at(-1)).toEqual(['message.updated', ids[0]])
    expect(after[0]?.absentAt, 'what this read shows was not there when the read before was asked for').toBe(before.at(-1)?.beganAt)
  })

  test('says since when a new conversation may have been there, if a send would have it read before getchats shows it', async ({
    startPolling,
    startQuiet,
    sandbox,
  }) => {
    const first = await startQuiet(watched)
    await first.stop()
    const sentAt = Date.now()
    const id = sandbox.receive({ ...newChat, message: 'One', sent: true })
    const asked = Promise.withResolvers<void>()
    sandbox.answer({ method: 'getchats', held: asked.promise })
    const told: ConversationRead[] = []
    const undelivered = async () => {
      setImmediate(asked.resolve)
      return [{ platform: 'whatsapp', platformId: '100', destination: newChat.destination }]
    }
    const second = await startPolling({ ...watched, hooks: { undelivered, onRead: async read => void told.push(read) } })

    await expect.poll(() => created(second)).toEqual([id])
    expect(told[0]?.absentAt).toBeLessThanOrEqual(sentAt)
  })

  test('says nothing of the kind where a conversation has a message and getchats does not show it', async ({ startPolling, sandbox }) => {
    sandbox.answer({ method: 'getchats', body: '{"status":"SUCCESS","result":{"list":[]}}', times: 1_000 })
    const id = sandbox.receive({ ...newChat, message: 'One', sent: true })
    const told: ConversationRead[] = []
    function* twice() {
      yield { platform: 'whatsapp', platformId: '100', destination: newChat.destination }
      throw new Error('asked again soon')
    }
    const undelivered = async () => twice() as unknown as Chat[]
    const polling = await startPolling({ ...watched, hooks: { undelivered, onRead: async read => void told.push(read) } })

    await expect.poll(() => created(polling), { timeout: 10_000 }).toEqual([id])
    expect(told[0]).toMatchObject({ destination: newChat.destination, absentAt: undefined })
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

    await expect.poll(() => created(polling)).toEqual([id])
    expect(told.slice(0, 2)).toEqual([
      { change: 'message.created', appended: 0 },
      { change: 'message.created', appended: 0 },
    ])
  })

  test('misses no message that comes while its conversation is read', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet(watched)
    const release = hold(sandbox, { method: 'getmessages' })
    const ids = [sandbox.receive({ ...chat, message: 'One' })]
    await sandbox.until(() => callsOf(sandbox, 'getmessages') > 0)
    ids.push(sandbox.receive({ ...chat, message: 'Two' })) // which that answer does not have
    release()

    await expect.poll(() => created(polling)).toEqual(ids)
  })

  test('says of messages that it could not read at once since when they may have been there', async ({ startQuiet, sandbox }) => {
    const told: ConversationRead[] = []
    const polling = await startQuiet({ ...watched, hooks: { onRead: async read => void told.push(read) } })
    sandbox.answer({ method: 'getmessages', status: 429, headers: { 'retry-after': '3600' } })
    const receivedAt = Date.now()
    const ids = [sandbox.receive({ ...chat, message: 'One' })]
    await sandbox.until(() => callsOf(sandbox, 'getmessages') > 0)
    await quiet(polling)
    ids.push(sandbox.receive({ ...chat, message: 'Two' }))
    await expect.poll(() => created(polling)).toEqual(ids)

    expect(told[0]?.absentAt).toBeLessThanOrEqual(receivedAt)
  })

  test('says that a channel has been unreadable for longer than the retention', async ({ startQuiet, sandbox }) => {
    const clock = settableClock()
    const polling = await startQuiet({ ...watched, keepMs: hour })
    sandbox.answer({ status: 500, method: 'getchats', times: Number.MAX_SAFE_INTEGER })
    await expect.poll(() => polls(polling, false)).toBeGreaterThan(0)
    expect(await polling.events()).toEqual([])
    clock.aheadMs = 2 * hour

    await expect
      .poll(polling.events)
      .toMatchObject([{ type: 'gap', platform: 'whatsapp', platformId: '100', destination: null, reason: 'channel-unreadable' }])
  })

  test('says so again after a clock that was far ahead was set back', async ({ startQuiet, sandbox }) => {
    const clock = settableClock()
    const polling = await startQuiet({ ...watched, keepMs: hour })
    clock.aheadMs = 9_000 * hour
    await expect.poll(polling.events).toHaveLength(1)
    await quiet(polling)
    clock.aheadMs = 0
    await quiet(polling)
    sandbox.answer({ status: 500, method: 'getchats', times: Number.MAX_SAFE_INTEGER })
    clock.aheadMs = 2 * hour

    await expect.poll(polling.events).toMatchObject([{}, { type: 'gap', reason: 'channel-unreadable' }])
  })

  test('reports a gap for the time without polling, and none for a quiet channel', async ({ startPolling }) => {
    const clock = settableClock()
    const first = await startPolling({ ...watched, keepMs: hour })
    for (; clock.aheadMs < 1.5 * hour; clock.aheadMs += hour / 6) await quiet(first)
    expect(await first.events()).toEqual([])
    await first.stop()
    clock.aheadMs += 2 * hour
    const second = await startPolling({ ...watched, keepMs: hour })

    await expect.poll(second.events).toMatchObject([{ type: 'gap', destination: null, reason: 'channel-unreadable' }])
  })

  test('does not tell again what was erased', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet(watched)
    const datetime = '2030-01-01 10:00:00'
    const id = sandbox.receive({ ...newChat, message: 'Forget me', datetime })
    await expect.poll(() => created(polling)).toEqual([id])
    await polling.forget(newChat.destination)
    expect(await polling.events()).toEqual([])
    const next = sandbox.receive({ ...newChat, message: 'Me again', datetime: '2030-01-01 10:00:01' })

    await expect.poll(() => created(polling)).toEqual([next])
  })

  test('has no direction with AFILNET_SENT=ignore', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ ...watched, env: { AFILNET_SENT: 'ignore' } })
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

  test('reports a list beyond the size limit', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ ...watched, env: { AFILNET_MAX_RESPONSE_BYTES: '20000' } })
    sandbox.fill({ ...channel, conversations: 200 })

    await expect.poll(() => polling.observed.map(({ event }) => event)).toContain('listTooLarge')
    await expect.poll(() => polling.pollers.report()).toMatchObject([{ account: 'default', watched: 1, unreadable: 1 }])
  })
})
