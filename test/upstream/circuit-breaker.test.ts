import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test as plain, vi } from 'vitest'
import { CircuitBreaker, halfOfRecent, type Verdict } from '../../src/lib/circuit-breaker.ts'
import type { ScriptedResponse } from '../../src/sandbox/scripted-responses.ts'
import { calls, chat } from '../afilnet/calls.ts'
import { hold, requestsInFlight, sharedTest as test } from '../gateway.ts'

const begin = Date.parse('2026-01-31T12:00:00Z')
const at = (ms: number) => vi.setSystemTime(begin + ms)
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
  at(0)
})
afterEach(() => void vi.useRealTimers())

describe('halfOfRecent', () => {
  const counted = () => {
    const rule = halfOfRecent({ windowMs: 10_000, minCalls: 20 })
    return {
      ...rule,
      succeed: (times: number) => repeat(times, () => rule.record(false)),
      fail: (times: number) => repeat(times, () => rule.record(true)).at(-1),
    }
  }

  plain.for([
    ['19 of 19 calls failed', 0, 19, false],
    ['20 of 20', 0, 20, true],
    ['exactly half of 20', 10, 10, true],
    ['one less than half of 21', 11, 10, false],
    ['half of 2,000', 1_000, 1_000, true],
    ['one less than half of 2,001', 1_001, 1_000, false],
  ] as const)('decides on %s', ([, good, bad, opens]) => {
    const { succeed, fail } = counted()
    succeed(good)

    expect(fail(bad)).toBe(opens)
  })

  plain.for([
    [9_999, true],
    [10_000, false],
  ] as const)('counts what ended %i ms ago: %s', ([ms, counts]) => {
    const { fail } = counted()
    fail(19)
    at(ms)

    expect(fail(1)).toBe(counts)
  })

  plain('is not led by what succeeded long ago', () => {
    const { succeed, fail } = counted()
    succeed(5_000)
    at(10_000)
    fail(19)

    expect(fail(1)).toBe(true)
  })

  plain('forgets what was before a probe that succeeded', () => {
    const { reset, fail } = counted()
    fail(3_000)
    reset()

    expect([fail(19), fail(1)]).toEqual([false, true])
  })

  plain('decides like one that remembers every call, however the clock goes', () => {
    const steps = fc.array(fc.record({ parts: fc.integer({ min: -3, max: 60 }), failed: fc.boolean() }), { minLength: 30, maxLength: 80 })

    fc.assert(
      fc.property(steps, steps => {
        at(0)
        const rule = halfOfRecent({ windowMs: 10_000, minCalls: 5 })
        let now = 0
        let ended: { now: number; failed: boolean }[] = []
        for (const { parts, failed } of steps) {
          now += parts
          at(now * 100)
          ended = [...ended.filter(call => parts >= 0 && call.now > now - 100), { now, failed }]
          const failures = ended.filter(call => call.failed).length
          expect(rule.record(failed)).toBe(failed && ended.length >= 5 && failures * 2 >= ended.length)
        }
      }),
    )
  })
})

describe('a breaker', () => {
  const opened = (inconclusiveMs = 0) => {
    const moves: boolean[] = []
    const breaker = new CircuitBreaker({
      rule: halfOfRecent({ windowMs: 10_000, minCalls: 2 }),
      firstProbeMs: 2_000,
      maxProbeMs: 30_000,
      inconclusiveMs,
      onStateChange: open => moves.push(open),
    })
    const underWay = () => {
      const ticket = breaker.begin()
      return { end: (how: Verdict) => breaker.end(ticket, how) }
    }
    const end = (how: Verdict) => underWay().end(how)
    return { breaker, moves, end, underWay, open: () => void repeat(2, () => end('failed')) }
  }

  plain('opens, and lets one probe through that closes it', () => {
    const { breaker, open, underWay } = opened()
    open()

    expect([breaker.retryAfterS, breaker.isOpen]).toEqual([2, true])
    at(1_001)
    expect(breaker.retryAfterS).toBe(1)
    at(2_000)
    expect([breaker.retryAfterS, breaker.isOpen]).toEqual([undefined, true])
    const probe = underWay()
    expect(breaker.retryAfterS).toBe(1)
    probe.end('answered')
    expect([breaker.retryAfterS, breaker.isOpen]).toEqual([undefined, false])
  })

  plain('tries again at once if the clock was set back', () => {
    const { breaker, open, end } = opened()
    open()
    at(-3_600_000)

    expect([breaker.retryAfterS, breaker.isOpen]).toEqual([undefined, true])
    end('failed')
    expect(breaker.retryAfterS).toBe(4)
  })

  plain('tells once that it opens, however many probes fail, and once that it closes', () => {
    const { open, end, moves } = opened()
    open()
    at(2_000)
    end('failed')
    at(6_000)
    expect(moves).toEqual([true])
    end('answered')

    expect(moves).toEqual([true, false])
  })

  plain('doubles the wait with each probe that fails', () => {
    const { breaker, open, end } = opened()
    open()
    const waits: unknown[] = []
    for (let now = 0, i = 0; i < 6; i++) {
      waits.push(breaker.retryAfterS)
      now += Number(breaker.retryAfterS) * 1000
      at(now - 1)
      expect(breaker.retryAfterS).toBe(1)
      at(now)
      end('failed')
    }

    expect(waits).toEqual([2, 4, 8, 16, 30, 30])
  })

  plain('begins anew once it was closed', () => {
    const { breaker, open, end } = opened()
    open()
    at(2_000)
    end('failed')
    at(6_000)
    end('answered')

    end('failed')
    expect(breaker.retryAfterS).toBe(2)
  })

  plain('counts calls that were answered, however', () => {
    const { breaker, end } = opened()
    for (const how of ['answered', 'answered', 'answered', 'failed', 'failed'] as const) end(how)

    expect(breaker.isOpen).toBe(false)
    end('failed')
    expect(breaker.isOpen).toBe(true)
  })

  plain('does not count what proves nothing', () => {
    const { breaker, end } = opened()
    for (const how of ['failed', 'nothing', 'nothing', 'nothing'] as const) end(how)

    expect(breaker.isOpen).toBe(false)
    end('failed')
    expect(breaker.isOpen).toBe(true)
  })

  plain.for([0, 60_000])('stays as it is after a probe that proved nothing, and tries again after %i ms', againMs => {
    const { breaker, open, end } = opened(againMs)
    open()
    at(2_000)
    end('nothing')

    expect([breaker.isOpen, breaker.retryAfterS]).toEqual([true, againMs === 0 ? undefined : 60])
    at(2_000 + againMs)
    end('failed')
    expect(breaker.retryAfterS).toBe(4)
  })

  plain('does not hear of failures of before', () => {
    const { breaker, open, underWay } = opened()
    const old = Array.from({ length: 6 }, underWay)
    open()
    at(2_000)
    const probe = underWay()
    for (const call of old.slice(0, 3)) call.end('failed')

    expect(breaker.retryAfterS).toBe(1)
    probe.end('answered')
    for (const call of old.slice(3)) call.end('failed')
    expect(breaker.isOpen).toBe(false)
  })

  plain('does not hear of calls that begin beside its probe', () => {
    const { breaker, moves, open, underWay } = opened()
    open()
    at(2_000)
    const probe = underWay()
    const beside = underWay()
    beside.end('failed')
    probe.end('answered')

    expect([breaker.isOpen, moves]).toEqual([false, [true, false]])
  })
})

describe('the circuit of an operation', () => {
  const send = calls.sendmessage
  const bodyOf = (error: string) => ({ body: JSON.stringify({ status: 'ERROR', error }) })
  const open = { status: 503, json: { code: 'upstream-circuit-open', outcome: 'not_applied', retry: 'yes' } }

  test.for([
    ['500', { status: 500 }, 502],
    ['503', { status: 503 }, 502],
    ['a lost connection', { fault: 'drop' }, 502],
  ] as [string, ScriptedResponse, number][])('opens after 20 times %s', async ([, answer, status], { gateway, sandbox }) => {
    sandbox.answer({ ...answer, method: 'sendmessage', times: 20 })

    const replies = await Promise.all(repeat(20, () => send(gateway)))
    const refused = await Promise.all(repeat(3, () => send(gateway)))

    expect(replies.map(reply => reply.status)).toEqual(Array(20).fill(status))
    for (const reply of refused) {
      expect(reply).toMatchObject(open)
      expect(reply.headers['retry-after']).toBe('2')
    }
    expect(sandbox.calls).toHaveLength(20)
  })

  test('opens after 19 failures and one silence', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '2000', AFILNET_LATE_MS: '0' } })
    sandbox.answer({ status: 500, times: 19 })
    sandbox.answer({ fault: 'silent' })

    const replies = await inTurn(21, () => send(gateway))

    expect(replies.map(reply => reply.status)).toEqual([...Array(19).fill(502), 504, 503])
    expect(sandbox.calls).toHaveLength(20)
  })

  test('opens after 20 refused connections', async ({ start }) => {
    const gateway = await start({ env: { AFILNET_URL: 'http://127.0.0.1:1/api/http/' } })

    const replies = await inTurn(21, () => send(gateway))

    expect(replies.map(({ json }) => json.code)).toEqual([...Array(20).fill('upstream-unreachable'), 'upstream-circuit-open'])
  })

  test.for([
    ['404', bodyOf('CHANNEL_NOT_FOUND'), 404],
    ['422', bodyOf('NO_ROUTE_AVAILABLE'), 422],
    ['out of credit', bodyOf('NO_CREDITS'), 503],
    ['an unknown code', bodyOf('SURPRISE'), 502],
    ['429', { status: 429 }, 503],
    ['403', { status: 403 }, 502],
    ['a redirect', { status: 302, headers: { location: '/elsewhere' } }, 502],
    ['HTML', { fault: 'html' }, 502],
    ['a truncated answer', { fault: 'truncated' }, 502],
  ] as [string, ScriptedResponse, number][])('is never opened by %s', async ([, answer, status], { gateway, sandbox }) => {
    sandbox.answer({ ...answer, times: 50 })

    const replies = await inTurn(25, () => send(gateway))

    expect(replies.map(reply => reply.status)).toEqual(Array(25).fill(status))
    expect(sandbox.calls).toHaveLength(25)
  })

  test('stays closed while less than half of the calls fail, whatever the others are answered', async ({ gateway, sandbox }) => {
    sandbox.answer({ ...bodyOf('CHANNEL_NOT_FOUND'), times: 21 })
    sandbox.answer({ status: 500, times: 21 })

    const replies = await inTurn(43, () => send(gateway))

    expect(replies.map(({ status }) => status)).toEqual([...Array(21).fill(404), ...Array(21).fill(502), 503])
  })

  test('leaves the other operations alone', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'sendfile', status: 500, times: 20 })
    await inTurn(20, () => calls.sendfile(gateway))

    expect(await calls.sendfile(gateway)).toMatchObject(open)
    const { sendfile: _, ...others } = calls
    const replies = await Promise.all(Object.values(others).map(call => call(gateway)))
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 201])
  })

  test('closes with one probe, while the others are refused', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'sendmessage', status: 500, times: 21 })
    await inTurn(20, () => send(gateway))
    at(2_000)
    await send(gateway)
    at(5_999)
    const early = await send(gateway)
    at(6_000)
    const release = hold(sandbox, { method: 'sendmessage' })
    const probe = send(gateway)
    await sandbox.called(22)
    const others = await Promise.all(repeat(5, () => send(gateway)))

    expect(early).toMatchObject(open)
    for (const reply of others) expect(reply).toMatchObject(open)
    expect(sandbox.calls).toHaveLength(22)
    release()
    expect(await probe).toMatchObject({ status: 201 })
    sandbox.answer({ method: 'sendmessage', status: 500 })
    expect(await send(gateway)).toMatchObject({ status: 502 })
    expect(await send(gateway), 'what was before is forgotten').toMatchObject({ status: 201 })
  })

  test('asks once in a probe, even for a read', async ({ gateway, sandbox }) => {
    sandbox.answer({ status: 500, times: 100 })
    await inTurn(20, () => gateway.get(`${chat}/messages`))
    const before = sandbox.calls.length
    at(11_000) // repetitions are allowed again

    expect(await gateway.get(`${chat}/messages`)).toMatchObject({ status: 502 })
    expect(await gateway.get(`${chat}/messages`)).toMatchObject(open)
    expect(sandbox.calls).toHaveLength(before + 1)
  })

  test('neither closes nor opens again because the caller of a probe leaves', async ({ gateway, sandbox }) => {
    sandbox.answer({ status: 500, times: 22 }) // 20 calls, and two repetitions
    await inTurn(20, () => gateway.get(`${chat}/messages`))
    at(2_000)
    sandbox.answer({ fault: 'silent' })
    sandbox.answer({ status: 500 })
    const before = sandbox.calls.length
    const caller = gateway.open()
    caller.write(`GET ${chat}/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer fake_canary_key_0123456789abcdef\r\n\r\n`)
    await sandbox.called(before + 1)
    caller.destroy()
    await sandbox.until(({ calls }) => calls[before]?.closedByPeer === true)
    expect((await gateway.get(`${chat}/messages`)).json.code, 'at once').toBe('upstream-error')

    const refused = await gateway.get(`${chat}/messages`)

    expect(refused).toMatchObject(open)
    expect(refused.headers['retry-after']).toBe('4')
    expect(sandbox.calls).toHaveLength(before + 2)
  })

  test('neither closes nor opens again because there is no place for a probe', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '1' } })
    sandbox.answer({ method: 'sendmessage', status: 500, times: 20 })
    await inTurn(20, () => send(gateway))
    at(2_000)
    const release = hold(sandbox, { method: 'getmessages' })
    const busy = ['1', '2'].map(who => gateway.get(`/chats/whatsapp/100/${who}/messages`))
    await expect.poll(() => requestsInFlight(gateway)).toBe(2)

    expect(await send(gateway)).toMatchObject({ status: 503, json: { code: 'overloaded' } })
    release()
    await Promise.all(busy)
    expect(await send(gateway)).toMatchObject({ status: 201 })
  })
})

test('a password that was rejected is tried again a minute after a probe that proved nothing, since Afilnet may have checked it', async ({
  gateway,
  sandbox,
}) => {
  const send = () => calls.sendmessage(gateway)
  sandbox.answer({ body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' })
  await send()
  at(60_000)
  sandbox.answer({ fault: 'drop' })
  await send()
  at(119_999)
  const early = await send()
  at(120_000)
  const later = await send()

  expect(early).toMatchObject({ status: 502, json: { code: 'upstream-credentials-rejected' } })
  expect(later.status).toBe(201)
  expect(sandbox.calls).toHaveLength(3)
})

function repeat<T>(times: number, run: () => T): T[] {
  return Array.from({ length: times }, run)
}

async function inTurn<T>(times: number, run: () => Promise<T>): Promise<T[]> {
  const ends: T[] = []
  for (let i = 0; i < times; i++) ends.push(await run())
  return ends
}
