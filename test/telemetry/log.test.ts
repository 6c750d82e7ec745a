import { expect, test } from 'vitest'
import { failures } from '../../src/afilnet/faults.ts'
import type { Events } from '../../src/events.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { createLogDestination, type Sink } from '../../src/telemetry/log-destination.ts'
import { createObserver } from '../../src/telemetry/log-lines.ts'

test('An error is logged with what it is and where it arose, without its message and without what it was about', () => {
  const lines: string[] = []
  const log = createLogger('info', { write: line => void lines.push(line) })
  const error = Object.assign(new TypeError('fake-canary\nof fake-canary lines'), { code: 'EFAKE' })
  log.error({ err: error, req: { url: '/fake-canary' }, res: { fake: 'fake-canary' } }, 'failed')
  log.error({ err: 'fake-canary' }, 'failed')
  const [first, second] = lines.map(line => JSON.parse(line))

  expect(first.err).toEqual({ type: 'TypeError', code: 'EFAKE', at: expect.any(Array) })
  expect(first.err.at[0]).toMatch(/^at .*log\.test\.ts:\d+:\d+\)?$/)
  expect(first.err.at.length).toBeLessThanOrEqual(10)
  expect(second.err).toEqual({ type: 'string' })
  expect(lines.join('')).not.toContain('canary')
})

const [info, warn, error] = [30, 40, 50]
const account = 'main'
const webhook = 'crm'
const noToken = { account, ms: 1.4, fault: failures.timeout, status: 504, oauthError: undefined, networkError: 'ETIMEDOUT' }
const refusal = { requestId: 'r', status: 400, code: 'invalid-request', skipped: 9 } as const
const requested = {
  requestId: 'r',
  traceId: 't',
  method: 'GET',
  route: '/me',
  caller: 'crm',
  actor: 'ann',
  upstreamMs: 3,
  upstreamCode: 'X',
}
type Row = { [E in keyof Events]: [event: E, details: Events[E], line?: object] }[keyof Events]

test.for<Row>([
  [
    'requestEnded',
    { ...requested, status: 200, code: undefined, ms: 1.6 },
    { level: info, ...requested, status: 200, ms: 2, msg: 'request' },
  ],
  [
    'requestEnded',
    { ...requested, status: undefined, code: undefined, ms: 1 },
    { level: info, ...requested, aborted: true, ms: 1, msg: 'request' },
  ],
  ['connectionRefused', { ...refusal, sampled: true }, { level: info, ...refusal, msg: 'connection refused' }],
  ['connectionRefused', { ...refusal, sampled: false }],
  [
    'circuitStateChanged',
    { account, operation: 'getchats', open: true },
    { level: warn, account, operation: 'getchats', msg: 'circuit breaker opened' },
  ],
  [
    'circuitStateChanged',
    { account, operation: 'getchats', open: false },
    { level: info, account, operation: 'getchats', msg: 'circuit breaker closed' },
  ],
  ['credentialsStateChanged', { account, accepted: true }, { level: info, account, msg: 'credentials accepted again' }],
  [
    'credentialsStateChanged',
    { account, accepted: false },
    { level: error, account, msg: 'credentials rejected, calls of this account are paused' },
  ],
  [
    'tokenRequested',
    { account, ms: 1.4, lifetimeS: 60 },
    { level: info, account, ms: 1, lifetimeS: 60, msg: 'token for Afilnet received' },
  ],
  [
    'tokenRequested',
    noToken,
    {
      level: warn,
      account,
      ms: 1,
      code: 'upstream-timeout',
      status: 504,
      networkError: 'ETIMEDOUT',
      msg: 'no token for Afilnet, its call was not made',
    },
  ],
  ['mediaSwept', { reason: 'expired', count: 2 }, { level: info, count: 2, msg: 'expired files deleted' }],
  ['mediaSwept', { reason: 'orphan', count: 2 }, { level: warn, count: 2, msg: 'files deleted that the ledger does not know' }],
  [
    'mediaSwept',
    { reason: 'lost', count: 2 },
    { level: warn, count: 2, msg: 'rows of files deleted whose bytes are not in the media store' },
  ],
  ['storeStateChanged', { ok: true, fault: undefined }, { level: info, msg: 'ledger available again' }],
  ['storeStateChanged', { ok: false, fault: 'full' }, { level: error, fault: 'full', msg: 'ledger unavailable, sends get 503' }],
  ['ledgerChanged', { changed: true }, { level: error, msg: expect.stringMatching(/^ledger changed, /) }],
  ['ledgerChanged', { changed: false }, { level: warn, msg: expect.stringMatching(/^changed ledger accepted, /) }],
  ['pollingStateChanged', { account, polling: true }, { level: info, account, msg: 'polling for events started' }],
  ['pollingStateChanged', { account, polling: false }, { level: info, account, msg: 'polling for events ended' }],
  ['channelStateChanged', { account, readable: true, code: undefined }, { level: info, account, msg: 'watched channel can be read again' }],
  [
    'channelStateChanged',
    { account, readable: false, code: 'X' },
    { level: warn, account, code: 'X', msg: 'watched channel cannot be read, its events wait' },
  ],
  [
    'eventsAppended',
    { account, type: 'gap', count: 1 },
    { level: warn, account, count: 1, msg: 'messages may be missing in the events, consumers get a gap' },
  ],
  ['eventsAppended', { account, type: 'message.created', count: 1 }],
  ['webhookStateChanged', { webhook, state: 'ok', reason: undefined }, { level: info, webhook, msg: 'webhook delivers again' }],
  [
    'webhookStateChanged',
    { webhook, state: 'paused', reason: 'X' },
    { level: warn, webhook, reason: 'X', msg: 'webhook paused, its endpoint is down' },
  ],
  [
    'webhookStateChanged',
    { webhook, state: 'disabled', reason: 'X' },
    { level: error, webhook, reason: 'X', msg: expect.stringMatching(/^webhook disabled, /) },
  ],
  ['deliveryEnded', { webhook, result: 'failed', ms: 1 }, { level: warn, webhook, msg: expect.stringMatching(/^delivery failed, /) }],
  ['deliveryEnded', { webhook, result: 'refused', ms: 1 }],
])('The event %s (%j) is logged as what it means to an operator', ([event, details, line]) => {
  const lines: string[] = []
  const observe = createObserver(createLogger('info', { write: text => void lines.push(text) }), { counts: {} })

  observe(event, details)

  expect(lines.map(text => JSON.parse(text))).toEqual(line ? [{ time: expect.any(Number), ...line }] : [])
})

test('A log that lost lines says how many, once it is read again', async () => {
  const written: string[] = []
  let isBlocked = true
  const write: Sink['write'] = (bytes, done) => {
    if (!isBlocked) written.push(bytes.toString())
    setImmediate(() => done(isBlocked ? new Error() : null, isBlocked ? 0 : bytes.length))
  }
  const destination = createLogDestination({ write }, { maxBytes: 200, retryMs: 5 })
  const log = createLogger('info', destination)
  for (let i = 0; i < 10; i++) log.info('some line')
  const { dropped } = destination
  await destination.flush(20)
  isBlocked = false

  await expect.poll(() => written.at(-1)).toContain('"log lines dropped because the output was blocked or failed"')
  expect(JSON.parse(written.at(-1) ?? '')).toMatchObject({ level: warn, dropped })
})
