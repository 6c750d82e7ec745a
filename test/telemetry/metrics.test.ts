import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test as plain, vi } from 'vitest'
import { failures, faults } from '../../src/afilnet/faults.ts'
import { openStore } from '../../src/store/open.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { calls } from '../afilnet/calls.ts'
import { canaries, hold, type TestGateway, test } from '../gateway.ts'
import { policy, send } from '../store/sends.ts'

/** What a Prometheus would read: each series with its value. */
async function scrape({ adminUrl }: TestGateway) {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  const series = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(series.map(line => line.match(/^(.+) (\S+)$/)?.slice(1) as [string, string]).map(([name, value]) => [name, Number(value)]))
}

const ours = (series: Map<string, number>) => [...series.keys()].filter(name => name.startsWith('gateway_')).sort()

/** Waits for what the answer's end brings about a moment after the answer. */
async function eventually(gateway: TestGateway, expected: Record<string, number>) {
  await expect
    .poll(async () => {
      const series = await scrape(gateway)
      return Object.fromEntries(Object.keys(expected).map(name => [name, series.get(name)]))
    })
    .toEqual(expected)
}

const chat = '/chats/whatsapp/100/34600000000'
const pattern = '/chats/:platform/:platformId/:destination'
const count = (labels: string) => `gateway_request_duration_seconds_count{${labels}}`

describe('GET /metrics', () => {
  test('has every series from the start, and none for anything that was said', async ({ start, sandbox }) => {
    const gateway = await start({
      env: { AFILNET_TIMEOUT_MS: '1500', AFILNET_LATE_MS: '0', RATE_LIMIT_PER_MINUTE: '40' },
      callers: { crm: { key: 'fake-crm-key-0123456789', rateLimit: { sendsPerDay: 1 } } },
    })
    const before = ours(await scrape(gateway))

    for (const call of Object.values(calls)) await call(gateway)
    for (let i = 0; i < 2; i++) {
      await gateway.request(`${chat}/messages`, {
        method: 'POST',
        key: 'fake-crm-key-0123456789',
        headers: { 'content-type': 'application/json' },
        body: '{"message":"canary-text"}',
      })
    }
    for (const answer of [
      { body: '{"status":"ERROR","error":"CANARY_CODE"}' },
      { body: 'canary-text' },
      { status: 401, body: '' },
      { status: 500, body: '' },
      { fault: 'silent' },
      { fault: 'drop' },
    ] as const) {
      sandbox.answer(answer)
      await gateway.get(`${chat}/messages?canary=query`, { 'x-request-id': 'canary-request-id' })
    }
    const keyed = { 'idempotency-key': 'canary-idempotency-key' }
    for (let i = 0; i < 2; i++) await gateway.post(`${chat}/messages`, { message: 'canary-text', reference: 'canary-reference' }, keyed)
    for (const method of ['DELETE', 'OPTIONS', 'PROPFIND', 'HEAD']) await gateway.request('/channels', { method })
    await gateway.post('/canary-path', {})
    for (const path of ['/canary-path', '/%zz', '/me', '/docs', '/openapi.json', '/problems/canary-code']) await gateway.get(path)
    await gateway.request('/me', { key: 'fake-canary-wrong-key-0123456789' })
    for (let i = 0; i < 40; i++) await gateway.get('/me')
    await gateway.raw('canary no HTTP\r\n\r\n')
    await gateway.logged(({ msg }) => msg === 'connection refused')

    const after = await scrape(gateway)
    expect(ours(after)).toEqual(before)
    expect([...after.keys()].join('\n')).not.toMatch(/canary|34600000000|demo@sandbox/i)
    expect(after.get('gateway_rate_limited_total{limit="requests"}')).toBeGreaterThan(0)
    expect(after.get('gateway_rate_limited_total{limit="sends"}')).toBe(1)
    expect(after.get('gateway_problems_total{code="unauthenticated"}')).toBe(1)
  })

  test('tells of requests by route and kind of status', async ({ gateway, sandbox }) => {
    await gateway.get('/channels')
    await gateway.request('/channels', { method: 'HEAD' })
    await gateway.get(`${chat}/messages`)
    await gateway.get('/nothing')
    await gateway.request('/channels', { method: 'DELETE' })
    await gateway.request('/channels', { key: null })
    sandbox.answer({ status: 500 })
    await gateway.post(`${chat}/messages`, { message: 'Hello' })

    await eventually(gateway, {
      [count('route="/channels",method="GET",status="2xx"')]: 2,
      [count('route="/channels",method="GET",status="4xx"')]: 1,
      [count(`route="${pattern}/messages",method="GET",status="2xx"`)]: 1,
      [count(`route="${pattern}/messages",method="POST",status="5xx"`)]: 1,
      [count('route="none",method="GET",status="4xx"')]: 1,
      [count('route="none",method="other",status="4xx"')]: 1,
      'gateway_problems_total{code="not-found"}': 1,
      'gateway_problems_total{code="method-not-allowed"}': 1,
      'gateway_problems_total{code="unauthenticated"}': 1,
      'gateway_problems_total{code="upstream-error"}': 1,
      gateway_requests_in_flight: 0,
    })
  })

  test('tells how calls to Afilnet ended, repetitions one by one', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '1500', AFILNET_LATE_MS: '0' } })
    const answers = [
      [{ body: '{"status":"ERROR","error":"CHAT_NOT_FOUND"}' }, 'CHAT_NOT_FOUND'],
      [{ body: '{"status":"ERROR","error":"SURPRISE"}' }, 'unknown-error'],
      [{ body: '{"status":"ERROR","error":"A sentence"}' }, 'unknown-error'],
      [{ fault: 'html' }, 'invalid-response'],
      [{ fault: 'silent' }, 'timeout'],
      [{ status: 429, body: '' }, 'rate-limited'],
    ] as const
    for (const [answer] of answers) {
      sandbox.answer(answer)
      await gateway.get(`${chat}/messages`)
    }
    sandbox.answer({ fault: 'drop' })
    expect((await gateway.get(`${chat}/messages`)).status).toBe(200)

    const ended = (code: string) => `gateway_upstream_answers_total{account="default",code="${code}"}`
    const timed = (result: string) => `gateway_upstream_duration_seconds_count{operation="getmessages",result="${result}"}`
    await eventually(gateway, {
      ...Object.fromEntries(answers.map(([, code]) => [ended(code), 1])),
      [ended('unknown-error')]: 2,
      [ended('connection-lost')]: 1,
      [ended('ok')]: 1,
      [timed('ok')]: 1,
      [timed('refused')]: 1,
      [timed('failed')]: 6,
      'gateway_upstream_unmapped_total{account="default"}': 2,
      'gateway_upstream_mismatches_total{operation="getmessages"}': 1,
    })
    expect(sandbox.calls).toHaveLength(8)
  })

  test('does not blame Afilnet for a caller that has left, nor for calls that were not made', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '1' } })
    sandbox.answer({ fault: 'silent' })
    const socket = gateway.open()
    socket.write(`GET ${chat}/messages HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\n\r\n`)
    await eventually(gateway, { 'gateway_calls_in_flight{account="default"}': 1, gateway_requests_in_flight: 1 })
    const waiting = gateway.get('/channels')
    await eventually(gateway, { 'gateway_calls_queued{account="default"}': 1, 'gateway_calls_capacity{account="default"}': 1 })
    expect((await gateway.get('/chats/whatsapp/100')).json.code).toBe('overloaded')
    expect((await gateway.post(`${chat}/messages`, { message: 'Hello' })).json.code).toBe('overloaded')
    socket.destroy()
    expect((await waiting).status).toBe(200)

    await eventually(gateway, {
      'gateway_upstream_answers_total{account="default",code="abandoned"}': 1,
      'gateway_upstream_answers_total{account="default",code="ok"}': 1,
      'gateway_upstream_answers_total{account="default",code="timeout"}': 0,
      'gateway_calls_refused_total{account="default",reason="overloaded"}': 2,
      'gateway_calls_in_flight{account="default"}': 0,
      'gateway_calls_queued{account="default"}': 0,
      [count(`route="${pattern}/messages",method="GET",status="aborted"`)]: 1,
    })
  })

  test('shows how sends ended, and which were replays', async ({ start, sandbox }) => {
    const QUEUE_KEY = Buffer.alloc(32, 7).toString('base64')
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '1500', AFILNET_LATE_MS: '20000', QUEUE_KEY } })
    const post = (key: string, kind = 'messages') =>
      gateway.post(`${chat}/${kind}`, kind === 'files' ? { type: 'image', fileUrl: 'https://example.com/a.jpg' } : { message: 'Hello' }, {
        'idempotency-key': key,
      })
    await post('a')
    await post('a')
    await post('b', 'files')
    for (const error of ['CHANNEL_NOT_FOUND', 'NO_CREDITS']) {
      sandbox.answer({ body: JSON.stringify({ status: 'ERROR', error }) })
      await post(error)
    }
    const release = hold(sandbox)
    expect((await post('late')).status).toBe(504)
    release()
    const tooLate = { message: 'Hello', expiresAt: new Date(Date.now() - 1).toISOString() }
    expect((await gateway.post(`${chat}/messages`, tooLate, { prefer: 'respond-async' })).status).toBe(202)

    const later = { message: 'Hello', sendAt: new Date(Date.now() + 600_000).toISOString() }
    await gateway.request(`/sends/${(await gateway.post(`${chat}/messages`, later)).json.id}`, { method: 'DELETE' })

    const sends = (kind: string, state: string) => `gateway_sends_total{account="default",kind="${kind}",state="${state}"}`
    await eventually(gateway, {
      [sends('message', 'unknown')]: 1,
      [sends('message', 'accepted')]: 2, // the late one among them
      [sends('file', 'accepted')]: 1,
      [sends('message', 'rejected')]: 1,
      [sends('message', 'not_sent')]: 1,
      [sends('message', 'expired')]: 1,
      [sends('message', 'canceled')]: 1,
      'gateway_send_replays_total{account="default"}': 1,
      'gateway_store_duration_seconds_count{verb="claim"}': 8,
      'gateway_store_duration_seconds_count{verb="settle"}': 6,
      gateway_store_up: 1,
      gateway_store_max_bytes: 1_073_741_824,
    })
    await expect.poll(async () => (await scrape(gateway)).get('gateway_store_bytes')).toBeGreaterThan(4_096)
  })

  test('tells of sends whose process has died', async ({ start }) => {
    const folder = mkdtempSync(join(tmpdir(), 'gateway-metrics-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const url = `sqlite:${join(folder, 'ledger.sqlite')}`
    const dead = await openStore(url, { ...policy, now: () => Date.now() - 60_000 })
    await dead.claim(send({ createdAt: Date.now() }))
    await dead.close()

    const gateway = await start({ env: { STORE_URL: url } })

    await eventually(gateway, { gateway_sends_interrupted_total: 1 })
    expect(await gateway.logged(({ msg }) => msg === 'interrupted sends marked as unknown')).toMatchObject({ count: 1 })
  })
})

describe('GET /health/upstream', () => {
  const health = async ({ adminUrl }: TestGateway) => (await fetch(`${adminUrl}/health/upstream`)).json() as Promise<{ items: unknown[] }>

  test('tells of each account what Afilnet said last, and never its user', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '1500' }, accounts: { shop: {} } })
    const [fresh] = (await health(gateway)).items
    expect(fresh).toMatchObject({ account: 'default', credentials: { accepted: null }, inFlight: 0, queued: 0, capacity: 256 })

    await gateway.get('/channels')
    sandbox.answer({ body: '{"status":"ERROR","error":"CHAT_NOT_FOUND"}' })
    await gateway.get(`${chat}/messages`)
    sandbox.answer({ fault: 'silent' })
    expect((await gateway.get(`${chat}/messages`)).status).toBe(504) // which is no answer
    const { items } = await health(gateway)

    const at = expect.stringMatching(/^\d{4}-.+Z$/)
    expect(items).toMatchObject([
      {
        account: 'default',
        lastAnswer: { at, operation: 'getmessages', code: 'CHAT_NOT_FOUND' },
        credentials: { accepted: true, since: at },
        breakers: expect.arrayContaining([{ operation: 'sendmessage', open: false }]),
      },
      { account: 'shop', credentials: { accepted: null } },
    ])
    expect(JSON.stringify(items)).not.toContain(sandbox.user)
  })

  test('tells of rejected credentials and of an open breaker, as the metrics and the log do', async ({ start, sandbox }) => {
    const gateway = await start({ accounts: { shop: {} }, callers: { shop: { key: 'fake-shop-key-0123456789', account: 'shop' } } })
    sandbox.answer({ method: 'sendmessage', status: 500, times: 20 })
    for (let i = 0; i < 21; i++) await calls.sendmessage(gateway)
    sandbox.answer({ body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' })
    for (let i = 0; i < 2; i++) await gateway.request('/channels', { key: 'fake-shop-key-0123456789' })

    expect((await health(gateway)).items).toMatchObject([
      { account: 'default', breakers: expect.arrayContaining([{ operation: 'sendmessage', open: true }]) },
      { account: 'shop', credentials: { accepted: false, since: expect.any(String) }, lastAnswer: { code: 'INCORRECT_USER_PASSWORD' } },
    ])
    await eventually(gateway, {
      'gateway_breaker_open{account="default",operation="sendmessage"}': 1,
      'gateway_breaker_open{account="default",operation="sendfile"}': 0,
      'gateway_credentials_accepted{account="default"}': 1,
      'gateway_credentials_accepted{account="shop"}': 0,
      'gateway_calls_refused_total{account="default",reason="circuit-open"}': 1,
      'gateway_calls_refused_total{account="shop",reason="credentials"}': 1,
      'gateway_upstream_answers_total{account="shop",code="INCORRECT_USER_PASSWORD"}': 1,
    })
    expect(gateway.log.filter(({ account, operation }) => account === 'default' && operation === 'sendmessage')).toHaveLength(1)
    expect(gateway.log.filter(({ account }) => account === 'shop')).toMatchObject([{ level: 50 }])
    expect((await gateway.get('/health/ready')).status).toBe(200)
  })
})

plain('What is counted is in the unit that its name has, as much as there was, and read anew each time', async () => {
  const now = Date.now()
  const lastAnswer = { at: new Date(60_000).toISOString(), operation: 'getchats', code: 'ok' }
  const none = { added: [], removed: [], changed: [] }
  let polled = [{ account: 'main', watched: 9, unreadable: 1, intervalMs: 7_000 }]
  let dueAt = now - 600_000
  const metrics = createMetrics({
    accounts: () => [{ account: 'main', inFlight: 1, queued: 2, capacity: 3, credentials: { accepted: null }, breakers: [], lastAnswer }],
    storeOk: () => false,
    ledgerChanged: () => true,
    storeMaxBytes: 300,
    requestsInFlight: () => 4,
    webhooks: () => [{ webhook: 'crm', state: 'paused', lag: 7 }],
    backlog: () => ({ waiting: 5, held: 6, dueAt }),
    droppedLines: () => 8,
    polling: () => polled,
    delivery: () => [{ account: 'main', streams: 3, behind: 2 }],
    media: () => ({ files: 0, bytes: 0, maxBytes: 0 }),
  })
  metrics.begin([])
  const read = async () =>
    Object.fromEntries([...(await metrics.text()).matchAll(/^gateway_(\S+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]))
  const { counts } = metrics
  counts.webhookStarted?.({ webhook: 'crm' })
  const begun = await read()
  counts.deliveryEnded?.({ webhook: 'crm', result: 'delivered', ms: 1_500 })
  counts.storeAnswered?.({ verb: 'claim', ms: 2_500 })
  counts.ledgerMeasured?.({ bytes: 200 })
  const unknown = { traceId: undefined, code: undefined, actor: undefined, upstreamMs: undefined, upstreamCode: undefined }
  counts.requestEnded?.({ ...unknown, requestId: 'r', method: 'GET', route: '/channels', status: 200, caller: 'crm', ms: 6_500 })
  counts.eventDelivered?.({ account: 'main', lagMs: 3_500 })
  counts.upstreamAnswered?.({
    account: 'main',
    operation: 'getchats',
    ms: 4_500,
    fault: faults.INCORRECT_USER_PASSWORD,
    upstreamCode: undefined,
  })
  for (const account of ['main', 'other']) counts.pollingStateChanged?.({ account, polling: true })
  const clock = vi.spyOn(Date, 'now').mockReturnValue(90_000)
  counts.pollEnded?.({ account: 'main', ms: 4_500, ok: true })
  clock.mockReturnValue(95_000)
  counts.pollEnded?.({ account: 'main', ms: 5_500, ok: false })
  clock.mockRestore()
  counts.eventsAppended?.({ account: 'main', type: 'gap', count: 2 })
  counts.listTooLarge?.({ account: 'main' })
  counts.sendsInterrupted?.({ count: 3 })
  counts.rowsSkipped?.({ account: 'main', operation: 'getchats', count: 4 })
  counts.foreignRow?.({ account: 'main', operation: 'getchats', field: 'platform' })
  const limited = { account: 'main', operation: 'getchats', ms: 0, fault: failures.rateLimited, upstreamCode: 'SLOW_DOWN' }
  for (const answer of [limited, { ...limited, fault: failures.unknownError, upstreamCode: undefined }]) counts.upstreamAnswered?.(answer)
  counts.tokenRequested?.({ account: 'main', ms: 0, lifetimeS: 60 })
  counts.tokenRequested?.({ account: 'main', ms: 0, fault: failures.timeout })
  counts.connectionRefused?.({ requestId: 'r', status: 429, code: 'rate-limited', sampled: false })
  counts.connectionShed?.({ reason: 'idle' })
  counts.mediaSwept?.({ reason: 'orphan', count: 5 })
  counts.mediaSweepFailed?.({ fault: 'EIO' })
  counts.configurationReloaded?.({ accounts: none, callers: none, webhooks: none })
  counts.configurationReloadFailed?.({ issues: [] })
  const seen = await read()
  for (const account of ['main', 'other']) counts.pollingStateChanged?.({ account, polling: false })
  counts.pollEnded?.({ account: 'main', ms: 0, ok: true }) // it began before
  polled = []
  dueAt = now + 600_000
  const later = await read()

  expect(begun).toMatchObject({
    'webhook_delivery_duration_seconds_count{webhook="crm",result="gone"}': 0,
    'request_duration_seconds_count{route="none",method="other",status="aborted"}': 0,
    'connections_refused_total{code="headers-too-large"}': 0,
    'connections_shed_total{reason="share"}': 0,
    'rate_limited_total{limit="mistakes"}': 0,
    'store_duration_seconds_count{verb="sweep"}': 0,
    'config_reloads_total{result="refused"}': 0,
    'upstream_foreign_rows_total{account="main"}': 0,
    'upstream_rows_skipped_total{account="main"}': 0,
    'upstream_unmapped_total{account="main"}': 0,
    'send_replays_total{account="main"}': 0,
    'events_delivery_seconds_count{account="main"}': 0,
    config_current: 1,
  })
  expect(seen).toMatchObject({
    'webhook_delivery_duration_seconds_sum{webhook="crm",result="delivered"}': 1.5,
    'webhook_delivery_duration_seconds_bucket{webhook="crm",result="delivered",le="1"}': 0,
    'webhook_delivery_duration_seconds_bucket{webhook="crm",result="delivered",le="2.5"}': 1,
    'store_duration_seconds_sum{verb="claim"}': 2.5,
    'request_duration_seconds_sum{route="/channels",method="GET",status="2xx"}': 6.5,
    'store_duration_seconds_bucket{verb="claim",le="2.5"}': 1, // "less or equal"
    'events_delivery_seconds_sum{account="main"}': 3.5,
    'upstream_duration_seconds_sum{operation="getchats",result="refused"}': 4.5,
    'upstream_answers_total{account="main",code="INCORRECT_USER_PASSWORD"}': 1,
    'events_poll_duration_seconds_sum{account="main",result="failed"}': 5.5,
    'events_last_poll_timestamp_seconds{account="main"}': 90, // of one that succeeded
    'events_interval_seconds{account="main"}': 7,
    'events_channels_watched{account="main"}': 9,
    'events_channels_unreadable{account="main"}': 1,
    'events_total{account="main",type="gap"}': 2,
    'events_total{account="main",type="message.updated"}': 0,
    'events_poll_duration_seconds_count{account="main",result="ok"}': 1,
    'events_poll_duration_seconds_count{account="other",result="failed"}': 0,
    'events_last_poll_timestamp_seconds{account="other"}': expect.any(Number),
    'events_total{account="other",type="gap"}': 0,
    'events_lists_too_large_total{account="main"}': 1,
    'events_streams{account="main"}': 3,
    'events_streams_behind{account="main"}': 2,
    sends_interrupted_total: 3,
    'upstream_rows_skipped_total{account="main"}': 4,
    'upstream_foreign_rows_total{account="main"}': 1,
    'upstream_unmapped_total{account="main"}': 2,
    'upstream_tokens_total{account="main",result="ok"}': 1,
    'upstream_tokens_total{account="main",result="timeout"}': 1,
    'upstream_tokens_total{account="main",result="contract-mismatch"}': 0,
    'problems_total{code="rate-limited"}': 1,
    'connections_refused_total{code="rate-limited"}': 1,
    'rate_limited_total{limit="mistakes"}': 1,
    'rate_limited_total{limit="requests"}': 0,
    'connections_shed_total{reason="idle"}': 1,
    'media_deleted_total{reason="orphan"}': 5,
    media_sweep_failures_total: 1,
    'config_reloads_total{result="applied"}': 1,
    'config_reloads_total{result="refused"}': 1,
    config_current: 0,
    store_up: 0,
    store_bytes: 200,
    store_max_bytes: 300,
    ledger_changed: 1,
    'calls_in_flight{account="main"}': 1,
    'calls_queued{account="main"}': 2,
    'calls_capacity{account="main"}': 3,
    requests_in_flight: 4,
    'last_answer_timestamp_seconds{account="main"}': 60,
    'credentials_accepted{account="main"}': 1,
    'webhook_up{webhook="crm"}': 0,
    'webhook_lag_seconds{webhook="crm"}': 7,
    'queue_sends{state="waiting"}': 5,
    'queue_sends{state="held"}': 6,
    log_lines_dropped_total: 8,
  })
  expect(await metrics.text()).toContain('nodejs_eventloop_lag_seconds')
  expect(Number(seen.queue_age_seconds) - 600).toBeGreaterThanOrEqual(0)
  expect(Number(seen.queue_age_seconds)).toBeLessThan(6_000)
  expect(later).toMatchObject({ queue_age_seconds: 0 })
  expect(Object.keys(later).filter(name => /^events_(last_poll|interval|channels)/.test(name))).toEqual([])
})

plain('Series of an account or a webhook end when a reload removes it', async () => {
  const kept = { account: 'kept', inFlight: 0, queued: 0, capacity: 1, credentials: { accepted: null }, breakers: [] }
  let accounts = [kept, { ...kept, account: 'former' }]
  const metrics = createMetrics({
    accounts: () => accounts,
    storeOk: () => true,
    ledgerChanged: () => false,
    storeMaxBytes: 1,
    requestsInFlight: () => 0,
    backlog: () => undefined,
    droppedLines: () => 0,
    polling: () => [],
    delivery: () => accounts.map(({ account }) => ({ account, streams: 0, behind: 0 })),
    media: () => ({ files: 0, bytes: 0, maxBytes: 0 }),
  })
  metrics.begin([])
  const { counts } = metrics
  for (const webhook of ['kept', 'former']) counts.webhookStarted?.({ webhook })
  for (const account of ['kept', 'former']) counts.pollingStateChanged?.({ account, polling: true })
  const named = async (name: string) => (await metrics.text()).split('\n').filter(line => line.includes(`"${name}"`))
  await metrics.text() // creates those of the delivery of events
  const [before, begun] = [await named('kept'), await named('former')]
  accounts = [kept]
  const removed = { added: [], removed: ['former'], changed: [] }
  counts.configurationReloaded?.({ accounts: removed, callers: removed, webhooks: removed })
  counts.pollingStateChanged?.({ account: 'former', polling: false })
  counts.pollEnded?.({ account: 'former', ms: 1, ok: false })
  // What was under way ends later.
  counts.upstreamAnswered?.({ account: 'former', operation: 'getchats', ms: 1, fault: undefined, upstreamCode: undefined })
  counts.deliveryEnded?.({ webhook: 'former', result: 'delivered', ms: 1 })

  expect(begun).toHaveLength(before.length)
  expect(await named('former')).toEqual([])
  expect((await named('kept')).map(withoutTime)).toEqual(before.map(withoutTime))

  accounts = [kept, { ...kept, account: 'former' }]
  counts.webhookStarted?.({ webhook: 'former' })
  counts.pollingStateChanged?.({ account: 'former', polling: true })
  const added = { added: ['former'], removed: [], changed: [] }
  counts.configurationReloaded?.({ accounts: added, callers: added, webhooks: added })
  expect((await named('former')).map(withoutTime).sort()).toEqual(begun.map(withoutTime).sort())
})

const withoutTime = (line: string) => line.replace(/(last_poll\S+) .*/, '$1')
