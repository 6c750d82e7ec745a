import { describe, expect } from 'vitest'
import type { Fault, ScriptedResponse } from '../../../src/sandbox/scripted-responses.ts'
import { everyRead, listed, methodsOf, test } from './doctor.ts'

describe('a call to Afilnet', () => {
  const env = { AFILNET_TIMEOUT_MS: '700', AFILNET_MAX_RESPONSE_BYTES: '65536' }
  const faults: Record<Fault, string> = {
    silent: 'upstream-timeout',
    stall: 'upstream-timeout',
    drip: 'upstream-timeout',
    drop: 'upstream-connection-lost',
    reset: 'upstream-connection-lost',
    truncated: 'upstream-invalid-response',
    html: 'upstream-invalid-response',
    empty: 'upstream-invalid-response',
    ssh: 'upstream-invalid-response',
    'two-lengths': 'upstream-invalid-response',
    endless: 'upstream-response-too-large',
    'gzip-bomb': 'upstream-response-too-large',
  }

  test.for(Object.entries(faults) as [Fault, string][])('that ends as %s is broken: %s', async ([fault, code], { examine, sandbox }) => {
    sandbox.answer({ fault })
    const patience = code === 'upstream-timeout' ? {} : { AFILNET_TIMEOUT_MS: '10000' }
    const bytes = fault === 'gzip-bomb' ? { AFILNET_MAX_RESPONSE_BYTES: '1024' } : {}
    const { named, wrong } = await examine({ env: { ...env, ...patience, ...bytes } })

    expect(wrong).toEqual(['getchatchannels'])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'broken', todo: expect.any(String), facts: { fault: code } }])
    expect(named('getmessages')).toMatchObject([{ verdict: 'skipped', detail: 'not called: an earlier call failed' }])
    expect(named('wire format').length).toBe(['html', 'empty'].includes(fault) ? 0 : 1)
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test.for([
    [{ status: 302, headers: { location: 'https://cn1.example/' } }, 'broken', 'upstream-redirect'],
    [{ status: 404, body: 'cn1' }, 'broken', 'upstream-error'],
    [{ status: 503, body: 'cn1' }, 'broken', 'upstream-error'],
    [{ status: 429, headers: { 'retry-after': 'cn1' } }, 'warning', 'upstream-rate-limited'],
    [{ status: 401, headers: { 'www-authenticate': 'Basic realm="cn1"' } }, 'broken', 'upstream-credentials-rejected'],
  ] as const)('answered with %j is %s', async ([answer, verdict, fault], { examine, sandbox }) => {
    sandbox.answer(answer)
    const { named } = await examine()

    expect(named('getchatchannels')).toMatchObject([{ verdict, facts: { fault, http: answer.status } }])
    expect(named('HTTP status')).toEqual([])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test.for([
    ['post', 'HTTP 200, INCORRECT_USER_PASSWORD'],
    ['basic', 'HTTP 401'],
  ] as const)('with a wrong password is made once (%s)', async ([transport, said], { doctor, sandbox }) => {
    const AFILNET_URL = `${sandbox.url}/api/${transport === 'basic' ? 'basic' : 'http'}/`

    const { code, out } = await doctor({ env: { AFILNET_PASSWORD: 'cn1-wrong', AFILNET_TRANSPORT: transport, AFILNET_URL } })

    expect(code).toBe(2)
    expect(out).toMatch(/^ {2}broken +getchatchannels .*\n +→ Correct user and password/m)
    expect(out).toContain(`(${said})`)
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  const refused = { body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' }
  test.for<[ScriptedResponse, string, number]>([
    [refused, 'getchats', 1],
    [refused, 'getchats', 2],
    [refused, 'getmessages', 1],
    [{ fault: 'drop' }, 'getchats', 2],
    [{ fault: 'silent' }, 'getchats', 2],
    [{ status: 429 }, 'getchats', 2],
  ])('that ends with %j is the last one of the account: %s, number %i', async ([answer, method, nth], { examine, sandbox }) => {
    if (nth === 2) sandbox.answer({ method })
    sandbox.answer({ method, ...answer })
    const { wrong } = await examine({ env: { ...env, EVENTS_CHANNELS: '*' } })

    expect(wrong).toHaveLength(1)
    expect(methodsOf(sandbox)).toEqual(everyRead.slice(0, everyRead.indexOf(method) + nth))
  })

  test('is made only for what a list names', async ({ examine, sandbox }) => {
    const nameless = [{ platform: 'whatsapp', name: 'cn1' }, { platformid: '100' }]
    sandbox.answer(listed(...nameless))
    const unnamed = await examine()
    sandbox.answer(listed(...nameless, { platform: 'whatsapp', platformid: '100' }))
    sandbox.answer({ method: 'getchats', ...listed({ platform: 'whatsapp', platformid: '100', message: 'cn1' }) })
    const unaddressed = await examine()

    expect(unnamed.named('getchats')).toMatchObject([{ verdict: 'skipped', detail: 'not called: no row of it has a platform and an id' }])
    expect(unaddressed.named('getmessages')).toMatchObject([{ verdict: 'skipped', detail: 'not called: the account has no conversation' }])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels', 'getchatchannels', 'getchats'])
  })

  test.for([
    ['NO_CREDITS', 'broken', 'upstream-out-of-credit'],
    ['MISSING_CLASS', 'broken', 'upstream-contract-mismatch'],
    ['NEVER_HEARD_OF', 'broken', 'upstream-unknown-error'],
    ['CHANNEL_NOT_FOUND', 'warning', 'channel-not-found'],
    ['CHAT_NOT_FOUND', 'warning', 'chat-not-found'],
  ] as const)('refused with %s is %s, and others are made', async ([error, verdict, fault], { examine, sandbox }) => {
    sandbox.answer({ method: 'getchats', body: JSON.stringify({ status: 'error', error }) })
    const { named } = await examine()

    expect(named('getchats webchat')).toMatchObject([{ verdict, todo: expect.any(String), facts: { fault, code: error } }])
    expect(named('getchats webchat')[0]?.detail).toContain(error)
    expect(named('getchats webchat')[0]?.todo?.includes('that its own list contains')).toBe(verdict === 'warning')
    expect(named('status')).toMatchObject([{ facts: { seen: { 'upper case': 5, 'lower case': 1 } } }])
    expect(methodsOf(sandbox)).toEqual(everyRead)
  })

  test.for(['cn1 is no code', { cn1: 1 }, null])('refused with %j is reported without it', async (error, { examine, sandbox }) => {
    sandbox.answer({ body: JSON.stringify({ status: 'ERROR', error }) })
    const { named } = await examine()

    expect(named('getchatchannels')).toMatchObject([{ verdict: 'broken', facts: { fault: 'upstream-unknown-error' } }])
  })
})
