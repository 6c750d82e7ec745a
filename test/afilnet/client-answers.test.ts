import { describe, expect } from 'vitest'
import { startSandbox } from '../../src/sandbox/app.ts'
import { type Reply, sharedTestOn, type TestGateway, test } from '../gateway.ts'
import { answersThatFail, lost } from './answers-that-fail.ts'
import { calls, kinds } from './calls.ts'

const ofEachKind = (gateway: TestGateway) => Promise.all(Object.values(kinds).map(method => calls[method](gateway)))
const bodies = (replies: Reply[]) => replies.map(({ json }) => json)
const unknown = { outcome: 'unknown', retry: 'no' }
const harmless = { outcome: 'not_applied', retry: 'yes' }

const patient = sharedTestOn({ AFILNET_MAX_RESPONSE_BYTES: '1048576', AFILNET_TIMEOUT_MS: '20000' })

describe('a gateway to which Afilnet answers with', () => {
  patient.for(answersThatFail)('%s', async ([, answer, failure], { gateway, sandbox }) => {
    // A safe read is asked again, twice at most, if the connection broke or Afilnet itself failed.
    const asked = failure === lost || answer.status === 500 || answer.status === 503 ? 3 : 1
    for (const method of Object.values(kinds)) sandbox.answer({ ...answer, method, takes: true, times: method === kinds.read ? asked : 1 })

    const replies = await ofEachKind(gateway)

    const [status, code] = failure
    const same = { status, code }
    expect(bodies(replies)).toMatchObject([
      { ...same, ...harmless },
      { ...same, ...unknown },
      { ...same, ...unknown },
    ])
    const described = gateway.log.filter(({ msg }) => msg === 'answer of Afilnet is not readable')
    expect(described).toHaveLength(code === 'upstream-invalid-response' ? 3 : 0)
    const broken = gateway.log.filter(({ msg, networkError }) => msg === 'connection to Afilnet failed' && networkError !== undefined)
    expect(broken).toHaveLength(failure === lost ? asked + 2 : 0)
    expect(sandbox.calls, 'no other is repeated').toHaveLength(asked + 2)
    expect(sandbox.sent).toHaveLength(1)
    expect(await gateway.get('/channels'), 'the gateway goes on').toMatchObject({ status: 200 })
  })

  patient.for([
    ['HTTP 401', 401, { status: 502, code: 'upstream-credentials-rejected', outcome: 'not_applied', retry: 'no' }],
    ['HTTP 429', 429, { status: 503, code: 'upstream-rate-limited', outcome: 'not_applied', retry: 'yes' }],
  ] as const)('%s, which proves that nothing happened', async ([, status, problem], { gateway, sandbox }) => {
    for (const method of Object.values(kinds)) sandbox.answer({ method, status })

    const replies = await ofEachKind(gateway)

    expect(bodies(replies)).toMatchObject([problem, problem, problem])
    expect(sandbox.sent).toEqual([])
  })
})

describe.concurrent('a gateway that Afilnet keeps waiting with', () => {
  test.for([
    ['silence', 'silent'],
    ['headers without a body', 'stall'],
    ['one byte a second', 'drip'],
  ] as const)('%s', async ([, fault], { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '1500', AFILNET_LATE_MS: '0' } })
    for (const method of Object.values(kinds)) sandbox.answer({ method, fault })

    const replies = await ofEachKind(gateway)

    const timeout = { status: 504, code: 'upstream-timeout' }
    expect(bodies(replies)).toMatchObject([
      { ...timeout, ...harmless },
      { ...timeout, ...unknown },
      { ...timeout, ...unknown },
    ])
    expect(sandbox.calls, 'none is repeated').toHaveLength(3)
    expect(await gateway.get('/channels'), 'the gateway goes on').toMatchObject({ status: 200 })
    await sandbox.until(({ calls }) => calls.slice(0, 3).every(({ closedByPeer }) => closedByPeer))
  })
})

describe("Afilnet's Retry-After on 429", () => {
  const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString()

  test.for([
    ['7', 7, 7],
    ['7 ', 7, 7],
    ['0', 1, 1],
    ['9999999999', 3_600, 3_600],
    [inSeconds(900), 300, 901],
    [inSeconds(-60), 1, 1],
    ['soon', 1, 1],
  ] as const)('%s is passed on', async ([value, least, most], { gateway, sandbox }) => {
    sandbox.answer({ status: 429, headers: { 'retry-after': value } })

    const { headers } = await calls.sendmessage(gateway)

    expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(least)
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(most)
  })
})

describe('a redirect', () => {
  test.for([301, 302, 303, 307, 308])('with %s is not followed', async (status, { gateway, sandbox }) => {
    const other = await startSandbox()
    for (const method of Object.values(kinds)) {
      sandbox.answer({ method, status, headers: { location: `${other.url}/api/http/` } })
    }

    const replies = await Promise.all(Object.values(kinds).map(method => calls[method](gateway)))

    const unknown = { status: 502, code: 'upstream-redirect', outcome: 'unknown', retry: 'no' }
    expect(replies.map(({ json }) => json)).toMatchObject([{ ...unknown, outcome: 'not_applied', retry: 'yes' }, unknown, unknown])
    expect(other.calls).toEqual([])
    expect(sandbox.calls).toHaveLength(3)
    await other.close()
  })
})

describe('an answer over the limit', () => {
  test.for(Object.values(kinds))('of %s is not read to its end', async (method, { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '1024' } })
    sandbox.answer({ method, fault: 'endless' })

    const { json } = await calls[method](gateway)

    expect(json).toMatchObject({ status: 502, code: 'upstream-response-too-large' })
    await sandbox.until(({ calls: [call] }) => call?.closedByPeer === true)
  })

  test('is one of a byte more', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '1024', AFILNET_CONNECTIONS: '1' } })
    sandbox.answer({ body: '{"status":"SUCCESS"}'.padEnd(1024) })
    sandbox.answer({ body: '{"status":"SUCCESS"}'.padEnd(1025) })

    const whole = await gateway.get('/channels')
    const more = await gateway.get('/channels')

    expect(whole.status).toBe(200)
    expect(more.json).toMatchObject({ status: 502, code: 'upstream-response-too-large' })
  })
})
