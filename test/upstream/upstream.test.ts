import { describe, expect, onTestFinished, vi } from 'vitest'
import { getChats, getMessages, getUnreadMessages, type Operation, type Params, sendMessage } from '../../src/afilnet/operations.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Observe } from '../../src/events.ts'
import { Cancellation } from '../../src/lib/cancellation.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import type { Call } from '../../src/upstream/call.ts'
import { createUpstream, type Upstream } from '../../src/upstream/upstream.ts'
import { environment, test as gatewayTest, hold, requestsInFlight } from '../gateway.ts'

const test = gatewayTest.extend<{ upstream: ReturnType<typeof createUpstream> }>({
  upstream: async ({ sandbox }, use) => {
    const config = readConfig(environment(sandbox))
    const { default: account } = config.accounts
    if (!account) throw new Error('the environment of a test has one account')
    const upstream = createUpstream({ ...config, accounts: { default: account, other: account } })
    await use(upstream)
    await upstream.close()
  },
})

const channel = { platform: 'whatsapp', platformid: '100' }
const chat = { ...channel, destination: '34600000000' }
const caller = (upstream: Upstream, account = 'default') => {
  const cancellation = new Cancellation()
  const context: Call = { caller: 'someone', account: upstream.open(account), cancellation }
  return { context, leave: () => cancellation.cancel(new Error('the caller left')) }
}
const itemsOf = ({ body }: { body: Uint8Array }): unknown[] => JSON.parse(Buffer.from(body).toString()).items
const read = <O extends Operation>(operation: O, params: Params<O>, context: Call) => context.account.read(operation, params, context)
const send = (params: Params<typeof sendMessage>, context: Call) => context.account.prepareSend(sendMessage, params, context).run(() => {})
const asked = ({ calls }: Sandbox, ...names: string[]) =>
  calls.map(({ params }) => {
    const given = Object.fromEntries(params)
    return names.map(name => given[name])
  })

describe('identical reads at one time', () => {
  test('share one call for all callers', async ({ upstream, sandbox }) => {
    const reads = Array.from({ length: 100 }, () => read(getChats, channel, caller(upstream).context))

    const answers = await Promise.all(reads)

    expect(sandbox.calls).toHaveLength(1)
    for (const rows of answers) expect(rows).toEqual(answers[0])
  })

  test('share one call through the gateway too', async ({ gateway, sandbox }) => {
    const release = hold(sandbox)
    const reads = Array.from({ length: 100 }, () => gateway.get('/chats/whatsapp/100'))
    await expect.poll(() => requestsInFlight(gateway)).toBe(100)
    release()
    const replies = await Promise.all(reads)

    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200))
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1)
    expect(sandbox.calls).toHaveLength(1)
  })

  test('share a failure, which later reads do not', async ({ upstream, sandbox }) => {
    sandbox.answer({ fault: 'drop', times: 3 }) // a read is asked up to three times
    const reads = [1, 2].map(() => read(getChats, channel, caller(upstream).context))

    const [first, second] = await Promise.allSettled(reads)
    const later = await read(getChats, channel, caller(upstream).context)

    expect([first, second]).toMatchObject([
      { status: 'rejected', reason: { message: 'upstream-connection-lost' } },
      { status: 'rejected', reason: { message: 'upstream-connection-lost' } },
    ])
    expect(itemsOf(later).length).toBeGreaterThan(0)
    expect(sandbox.calls).toHaveLength(4)
  })

  test('of two accounts are two calls', async ({ upstream, sandbox }) => {
    await Promise.all([caller(upstream, 'default'), caller(upstream, 'other')].map(({ context }) => read(getChats, channel, context)))

    expect(sandbox.calls).toHaveLength(2)
  })
})

test('reads that fail are repeated no more often than an outage can bear', async ({ upstream, sandbox }) => {
  vi.useFakeTimers({ toFake: ['Date'] }) // all within ten seconds
  onTestFinished(() => void vi.useRealTimers())
  sandbox.answer({ status: 500, times: 100 })
  for (let i = 0; i < 15; i++)
    await expect(read(getMessages, { ...chat, destination: `${i}` }, caller(upstream).context)).rejects.toThrow('upstream-error')

  expect(sandbox.calls).toHaveLength(17)
})

describe('reads that only look alike', () => {
  test('are two calls, each with its own parameters', async ({ gateway, sandbox }) => {
    sandbox.answer({ delayMs: 200, times: 2 })

    await Promise.all(['100%2F7/x', '100/7%2Fx'].map(ids => gateway.get(`/chats/telegram/${ids}/messages`)))

    expect(asked(sandbox, 'platformid', 'destination').toSorted()).toEqual([
      ['100', '7/x'],
      ['100/7', 'x'],
    ])
  })

  test.for([
    [
      { ...chat, platformid: '1","destination":"2' },
      { ...chat, platformid: '1' },
    ],
    [
      { ...chat, platformid: '1,2', destination: '3' },
      { ...chat, platformid: '1', destination: '2,3' },
    ],
    [
      { ...chat, platformid: '1 2', destination: '3' },
      { ...chat, platformid: '1', destination: '2 3' },
    ],
    [chat, { ...chat, platform: 'telegram' }],
  ] as const)('are two calls: %j and %j', async ([one, other], { upstream, sandbox }) => {
    await Promise.allSettled([one, other].map(params => read(getMessages, params, caller(upstream).context)))

    expect(asked(sandbox, 'platform', 'platformid', 'destination').toSorted()).toEqual(
      [one, other].map(({ platform, platformid, destination }) => [platform, platformid, destination]).toSorted(),
    )
  })
})

describe('a read after a send', () => {
  test('does not join one that began before it', async ({ upstream, sandbox }) => {
    sandbox.answer({ method: 'getmessages', delayMs: 200 })
    const before = read(getMessages, chat, caller(upstream).context)
    await sandbox.called(1)
    await send({ ...chat, message: 'Is it there?' }, caller(upstream).context)

    const after = await read(getMessages, chat, caller(upstream).context)

    expect(itemsOf(after).at(-1)).toMatchObject({ message: 'Is it there?' })
    expect(itemsOf(await before).at(-1)).not.toMatchObject({ message: 'Is it there?' })
    expect(sandbox.calls).toHaveLength(3)
  })

  test('that Afilnet refused or left open does not join one either', async ({ upstream, sandbox }) => {
    sandbox.answer({ method: 'getmessages', delayMs: 200 })
    sandbox.answer({ method: 'sendmessage', fault: 'drop' })
    const before = read(getMessages, chat, caller(upstream).context)
    await sandbox.called(1)
    await expect(send({ ...chat, message: 'Is it there?' }, caller(upstream).context)).rejects.toThrow()

    const after = await read(getMessages, chat, caller(upstream).context)

    expect(itemsOf(after).at(-1)).toMatchObject({ message: 'Is it there?' })
    await before
  })

  test('joins one that began after it', async ({ upstream, sandbox }) => {
    await send({ ...chat, message: 'Hello' }, caller(upstream).context)

    await Promise.all([1, 2].map(() => read(getMessages, chat, caller(upstream).context)))

    expect(sandbox.calls).toHaveLength(2)
  })

  test('joins one that began after it also once one that began before has ended', async ({ upstream, sandbox }) => {
    const begin = () => read(getMessages, chat, caller(upstream).context)
    const [answerFirst, answerSecond] = [hold(sandbox, { method: 'getmessages' }), hold(sandbox, { method: 'getmessages' })]
    const before = begin()
    await sandbox.called(1)
    await send({ ...chat, message: 'Hello' }, caller(upstream).context)
    const after = begin()
    answerFirst()
    await before
    const joined = begin()
    answerSecond()

    await Promise.all([after, joined])

    expect(sandbox.calls).toHaveLength(3)
  })
})

describe('a reader who leaves', () => {
  test('does not take the answer from those who stay', async ({ upstream, sandbox }) => {
    const release = hold(sandbox)
    const [leaver, stayer] = [caller(upstream), caller(upstream)]
    const left = read(getChats, channel, leaver.context)
    const stayed = read(getChats, channel, stayer.context)
    await sandbox.called(1)
    leaver.leave()

    await expect(left).rejects.toThrow('the caller left')
    release()
    expect(itemsOf(await stayed).length).toBeGreaterThan(0)
    expect(sandbox.calls).toMatchObject([{ closedByPeer: false }])
  })

  test('ends the call as the last one', async ({ upstream, sandbox }) => {
    sandbox.answer({ fault: 'silent' })
    const readers = [caller(upstream), caller(upstream), caller(upstream)]
    const reads = readers.map(({ context }) => read(getChats, channel, context))
    await sandbox.called(1)
    for (const { leave } of readers) leave()

    const ends = await Promise.allSettled(reads)

    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    await sandbox.until(({ calls: [call] }) => call?.closedByPeer === true)
  })

  test('leaves no cancelled call behind for the next one', async ({ upstream, sandbox }) => {
    sandbox.answer({ fault: 'silent' })
    const leaver = caller(upstream)
    const left = read(getChats, channel, leaver.context)
    await sandbox.called(1)
    leaver.leave()

    const rows = read(getChats, channel, caller(upstream).context)

    await expect(left).rejects.toThrow('the caller left')
    expect(itemsOf(await rows).length).toBeGreaterThan(0)
  })

  test('between two attempts has the next one not made', async ({ sandbox }) => {
    let leave = () => {}
    const traceAttempt = () => (error?: unknown) => void (error && queueMicrotask(leave)) // the pause has begun by then
    const upstream = createUpstream({ ...readConfig(environment(sandbox)), traceAttempt })
    onTestFinished(() => upstream.close())
    sandbox.answer({ method: 'getchats', status: 500 })
    sandbox.answer({ method: 'getmessages', delayMs: 300 }) // longer than any pause before a second attempt
    const leaver = caller(upstream)
    leave = leaver.leave

    await expect(read(getChats, channel, leaver.context)).rejects.toThrow('the caller left')
    await read(getMessages, chat, caller(upstream).context)

    expect(asked(sandbox, 'method')).toEqual([['getchats'], ['getmessages']])
  })

  test('before the call makes none', async ({ upstream, sandbox }) => {
    const gone = caller(upstream)
    gone.leave()

    await expect(read(getChats, channel, gone.context)).rejects.toThrow('the caller left')

    await read(getMessages, chat, caller(upstream).context)
    expect(asked(sandbox, 'method')).toEqual([['getmessages']])
  })
})

describe('what is not safe', () => {
  test('does not leave any more if it expired while it waited for a connection', async ({ sandbox }) => {
    const upstream = createUpstream(readConfig({ ...environment(sandbox), AFILNET_CONNECTIONS: '1' }))
    onTestFinished(() => upstream.close())
    const release = hold(sandbox, { method: 'getmessages' })
    const busy = read(getMessages, chat, caller(upstream).context)
    await sandbox.called(1)
    const { context } = caller(upstream)
    const expiresAt = Date.now() + 50
    const waiting = send({ ...chat, message: 'Too late' }, Object.assign(context, { expiresAt }))
    await expect.poll(() => Date.now()).toBeGreaterThan(expiresAt)
    release()

    await expect(waiting).rejects.toMatchObject({ message: 'overloaded', outcome: 'not_applied' })
    await busy
    expect(sandbox.sent).toEqual([])
  })

  test('is never shared: unread', async ({ upstream, sandbox }) => {
    const contexts = [caller(upstream).context, caller(upstream).context]

    await Promise.all(contexts.map(context => read(getUnreadMessages, chat, context)))

    expect(sandbox.calls).toHaveLength(2)
    expect(contexts).toMatchObject([{ unsafeStarted: true }, { unsafeStarted: true }])
  })

  test('gets its late result as often as it comes, if not too many wait for one at a time', async ({ sandbox }) => {
    // One call of four may be late.
    const limits = { AFILNET_CONNECTIONS: '4', AFILNET_TIMEOUT_MS: '1000', AFILNET_LATE_MS: '30000', READ_CACHE_MS: '60000' }
    const upstream = createUpstream(readConfig({ ...environment(sandbox), ...limits }))
    onTestFinished(() => upstream.close())
    sandbox.answer({ method: 'sendmessage', delayMs: 1_500, times: 2 })
    for (const message of ['One', 'Two']) {
      const { promise: late, resolve } = Promise.withResolvers<unknown>()
      const { context } = caller(upstream)
      const sending = context.account.prepareSend(sendMessage, { ...chat, message }, context).run(resolve)

      await expect(sending).rejects.toMatchObject({ message: 'upstream-timeout', outcome: 'unknown' })
      await read(getMessages, chat, caller(upstream).context)
      expect(await late).toBeUndefined()
      await read(getMessages, chat, caller(upstream).context)
    }
    expect(sandbox.sent).toHaveLength(2)
    expect(sandbox.calls, 'a read after the late result asks again').toHaveLength(2 + 4)
  })

  test('ends without a result once it is too late for one', async ({ sandbox }) => {
    const upstream = createUpstream(readConfig({ ...environment(sandbox), AFILNET_TIMEOUT_MS: '500', AFILNET_LATE_MS: '100' }))
    onTestFinished(() => upstream.close())
    sandbox.answer({ fault: 'silent' })
    const { promise: late, resolve } = Promise.withResolvers<unknown>()
    const { context } = caller(upstream)
    const sending = context.account.prepareSend(sendMessage, { ...chat, message: 'Hello' }, context).run(resolve)

    await expect(sending).rejects.toMatchObject({ message: 'upstream-timeout', outcome: 'unknown' })

    expect(await late).toMatchObject({ message: 'upstream-timeout', outcome: 'unknown' })
    await sandbox.until(({ calls: [call] }) => call?.closedByPeer === true)
    await expect.poll(() => upstream.report()).toMatchObject([{ inFlight: 0 }])
  })

  test('does not leave any more if it expired while it waited for its next attempt', async ({ sandbox }) => {
    const expiresAt = Date.now() + 3_600_000
    let attempts = 0
    const observe: Observe = event => {
      if (event !== 'upstreamAnswered') return
      attempts++
      const clock = vi.spyOn(Date, 'now').mockReturnValue(expiresAt)
      onTestFinished(() => clock.mockRestore())
    }
    const config = readConfig({ ...environment(sandbox), AFILNET_URL: 'http://127.0.0.1:1/' })
    const upstream = createUpstream({ ...config, observe })
    onTestFinished(() => upstream.close())
    const { context } = caller(upstream)

    const sending = send({ ...chat, message: 'Too late' }, Object.assign(context, { expiresAt }))

    await expect(sending).rejects.toMatchObject({ message: 'upstream-unreachable', outcome: 'not_applied' })
    expect(attempts).toBe(1)
  })

  test('ends with the refusal that it got, also where the body of that never ends', async ({ sandbox }) => {
    const outcomes: unknown[] = []
    const upstream = createUpstream({
      ...readConfig({ ...environment(sandbox), AFILNET_TIMEOUT_MS: '1000', AFILNET_LATE_MS: '60000' }),
      observe: (event, details) => {
        if (event === 'upstreamAnswered') outcomes.push(details)
      },
    })
    onTestFinished(() => upstream.close())
    sandbox.answer({ status: 500, fault: 'stall' })

    await expect(send({ ...chat, message: 'Hello' }, caller(upstream).context)).rejects.toMatchObject({ message: 'upstream-error' })
    await sandbox.until(({ calls: [call] }) => call?.closedByPeer === true)

    expect(outcomes).toMatchObject([{ fault: { code: 'upstream-error' } }])
  })

  test('is never shared: sends', async ({ upstream, sandbox }) => {
    const context = caller(upstream).context

    await Promise.all([1, 2].map(() => send({ ...chat, message: 'Hello' }, context)))

    expect(sandbox.sent).toHaveLength(2)
  })

  test('goes on when the caller leaves', async ({ upstream, sandbox }) => {
    const release = hold(sandbox, { times: 2 })
    const leaver = caller(upstream)
    const sending = send({ ...chat, message: 'Hello' }, leaver.context)
    const unread = read(getUnreadMessages, chat, leaver.context)
    await sandbox.called(2)
    leaver.leave()
    release()

    await Promise.all([sending, unread])

    expect(sandbox.sent).toHaveLength(1)
    expect(sandbox.calls.filter(({ closedByPeer }) => closedByPeer)).toEqual([])
  })
})

describe('an account', () => {
  test('reports the last answer, and accepted credentials only from what Afilnet says itself', async ({ upstream, sandbox }) => {
    const ask = () => read(getUnreadMessages, chat, caller(upstream).context).catch(() => {})
    const reports = []
    for (const answer of [{ fault: 'drop' }, { status: 500 }, {}] as const) {
      sandbox.answer(answer)
      await ask()
      const [{ lastAnswer, credentials } = expect.fail('no account')] = upstream.report()
      reports.push([lastAnswer?.code, credentials.accepted])
    }

    expect(reports).toEqual([
      [undefined, null],
      ['upstream-error', null],
      ['ok', true],
    ])
  })

  test('makes no body of an answer that is more than a quarter larger than an answer may be', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '2048' } })
    const rows = (count: number) => JSON.stringify({ status: 'SUCCESS', result: { list: Array(count).fill({}) } })
    for (const count of [10, 20]) sandbox.answer({ body: rows(count) }) // a row of two bytes is one of 147 in the body

    expect((await gateway.get('/chats/whatsapp/100')).json.items).toHaveLength(10)
    expect((await gateway.get('/chats/whatsapp/100')).json.code).toBe('upstream-response-too-large')
  })

  test('knows that it talks to a sandbox from its first answer on', async ({ upstream }) => {
    const before = upstream.state().sandbox
    await read(getChats, channel, caller(upstream).context)

    expect([before, upstream.state().sandbox]).toEqual([false, true])
  })

  test('that is closed fails open calls, and makes no more', async ({ upstream, sandbox }) => {
    sandbox.answer({ fault: 'silent' })
    const open = send({ ...chat, message: 'Hello' }, caller(upstream).context)
    await sandbox.called(1)
    const failure = expect(open).rejects.toMatchObject({ message: 'upstream-connection-lost', outcome: 'unknown' })

    await upstream.close()

    await failure
    await expect(send({ ...chat, message: 'Hello' }, caller(upstream).context)).rejects.toMatchObject({
      message: 'upstream-unreachable',
      outcome: 'not_applied',
    })
    expect(sandbox.calls).toHaveLength(1)
  })
})
