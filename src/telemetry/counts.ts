import type { Registry } from 'prom-client'
import { failures, faults, isUndocumented, mismatch } from '../afilnet/faults.ts'
import { operations } from '../afilnet/operations.ts'
import type { Events } from '../events.ts'
import { catalogue } from '../problem/catalogue.ts'
import { beginSeries, type Count, createCounter, createTimer } from './series.ts'

/** What each event counts for. */
export type Counts = { [F in keyof Events]?: (details: Events[F]) => void }

const methods = ['GET', 'POST', 'other'] as const
const statuses = ['2xx', '3xx', '4xx', '5xx', 'aborted'] as const
const deliveryResults = ['delivered', 'refused', 'failed', 'down', 'gone'] as const
const results = ['ok', 'refused', 'failed'] as const
const states = ['accepted', 'rejected', 'not_sent', 'unknown', 'expired', 'canceled'] as const
const kinds = ['message', 'file'] as const
const reasons = ['overloaded', 'circuit-open', 'credentials'] as const
const unreadable = [
  'invalid-request',
  'request-timeout',
  'payload-too-large',
  'uri-too-long',
  'headers-too-large',
  'method-not-allowed',
] as const
const shedReasons = ['share', 'idle'] as const
const limits = ['requests', 'mistakes', 'sends'] as const
const verbs = ['claim', 'settle', 'find', 'list', 'beat', 'release', 'reap', 'sweep', 'secret'] as const

const methodOf = (method: string) => (method === 'HEAD' ? 'GET' : method === 'GET' || method === 'POST' ? method : 'other')

/** Failures of calls that were made, by their codes without the common prefix. */
const failureOf = ({ code }: { code: string }) => code.replace(/^upstream-/, '')
const madeCalls = Object.values(failures).filter(({ side }) => side === 'upstream')
const answers = ['ok', ...Object.keys(faults), ...new Set(madeCalls.map(failureOf)), 'abandoned']

/** Registers the counters and timers of requests, calls, sends and webhooks. `counts` feeds them; the other two create series with zero. */
export function createCounts(registry: Registry, { configCurrent, storeBytes }: { configCurrent: Count; storeBytes: Count }) {
  const of = createFamilies(registry)
  const counts: Counts = {
    ...requestCounts(of),
    ...callCounts(of),
    sendSettled: ({ account, kind, state }) => void of.sends(account, kind, state).value++,
    sendReplayed: ({ account }) => void of.replays(account).value++,
    sendsInterrupted({ count }) {
      of.interrupted().value += count
    },
    storeAnswered: ({ verb, ms }) => of.store(verb).observe(ms / 1_000),
    ledgerMeasured({ bytes }) {
      storeBytes.value = bytes
    },
    webhookStarted({ webhook }) {
      beginSeries(registry, 'webhook', webhook)
      for (const result of deliveryResults) of.deliveries(webhook, result)
    },
    deliveryEnded: ({ webhook, result, ms }) => of.deliveries(webhook, result).observe(ms / 1_000),
    configurationReloaded() {
      of.reloads('applied').value++
      configCurrent.value = 1
    },
    configurationReloadFailed() {
      of.reloads('refused').value++
      configCurrent.value = 0
    },
  }
  for (const code of Object.keys(catalogue)) of.problems(code)
  for (const limit of limits) of.limited(limit)
  for (const code of unreadable) of.unreadable(code)
  for (const reason of shedReasons) of.shed(reason)
  for (const { method } of operations) {
    of.mismatches(method)
    for (const result of results) of.calls(method, result)
  }
  for (const verb of verbs) of.store(verb)
  for (const result of ['applied', 'refused']) of.reloads(result)

  return {
    counts,
    beginAccount(account: string) {
      beginSeries(registry, 'account', account)
      for (const code of answers) of.codes(account, code)
      for (const reason of reasons) of.refusals(account, reason)
      for (const kind of kinds) for (const state of states) of.sends(account, kind, state)
      of.tokens(account, failureOf(mismatch))
      of.unmapped(account)
      of.foreign(account)
      of.skipped(account)
      of.replays(account)
    },
    beginRoutes(routes: readonly { method: string; url: string }[]) {
      for (const { method, url } of [...routes, ...methods.map(method => ({ method, url: 'none' }))]) {
        for (const status of statuses) of.requests(url, methodOf(method), status)
      }
    },
  }
}

type Families = ReturnType<typeof createFamilies>

function createFamilies(registry: Registry) {
  const counter = createCounter.bind(undefined, registry)
  const timer = createTimer.bind(undefined, registry)
  const requestsHelp = 'Requests by route and kind of status, HEAD with GET'
  return {
    requests: timer('gateway_request_duration_seconds', requestsHelp, 'route', 'method', 'status'),
    problems: counter('gateway_problems_total', 'Answers that were errors, by their code', 'code'),
    limited: counter('gateway_rate_limited_total', 'Requests beyond a limit', 'limit'),
    unreadable: counter(
      'gateway_connections_refused_total',
      'Connections that sent no readable request, by the code of the answer',
      'code',
    ),
    shed: counter('gateway_connections_shed_total', 'Connections closed so that others find room', 'reason'),
    calls: timer('gateway_upstream_duration_seconds', 'Calls to Afilnet, from the moment they leave', 'operation', 'result'),
    codes: counter('gateway_upstream_answers_total', 'How calls to Afilnet ended', 'account', 'code'),
    unmapped: counter('gateway_upstream_unmapped_total', 'Answers with a code that is not documented', 'account'),
    mismatches: counter('gateway_upstream_mismatches_total', 'Answers that do not have the documented shape', 'operation'),
    foreign: counter('gateway_upstream_foreign_rows_total', 'Answers with a row of another chat than the one asked for', 'account'),
    skipped: counter('gateway_upstream_rows_skipped_total', 'Items of lists that were skipped because they are not rows', 'account'),
    tokens: counter('gateway_upstream_tokens_total', 'Requests for OAuth 2.0 tokens', 'account', 'result'),
    refusals: counter('gateway_calls_refused_total', 'Calls that were not made', 'account', 'reason'),
    sends: counter('gateway_sends_total', 'How sends ended; an unknown one may end again', 'account', 'kind', 'state'),
    replays: counter('gateway_send_replays_total', 'Repeated requests that got the stored result', 'account'),
    interrupted: counter('gateway_sends_interrupted_total', 'Sends of processes that died, which are unknown now'),
    store: timer('gateway_store_duration_seconds', 'Verbs of the ledger', 'verb'),
    deliveries: timer(
      'gateway_webhook_delivery_duration_seconds',
      'Attempts to deliver an event to a webhook, by result',
      'webhook',
      'result',
    ),
    reloads: counter('gateway_config_reloads_total', 'Reloads of a changed configuration', 'result'),
  }
}

const requestCounts = ({ requests, problems, limited, unreadable, shed }: Families): Counts => ({
  requestEnded({ route = 'none', method, status, code, caller, ms }) {
    const kind = status === undefined ? 'aborted' : `${Math.floor(status / 100)}xx`
    requests(route, methodOf(method), kind).observe(ms / 1_000)
    if (code === undefined) return
    problems(code).value++
    if (code === 'send-quota-exceeded') limited('sends').value++
    if (code === 'rate-limited') limited(caller === undefined ? 'mistakes' : 'requests').value++
  },
  connectionRefused({ code }) {
    problems(code).value++
    unreadable(code).value++
    if (code === 'rate-limited') limited('mistakes').value++
  },
  connectionShed: ({ reason }) => void shed(reason).value++,
})

const callCounts = ({ calls, codes, unmapped, mismatches, foreign, skipped, tokens, refusals }: Families): Counts => ({
  tokenRequested: ({ account, fault }) => void tokens(account, fault ? failureOf(fault) : 'ok').value++,
  upstreamAnswered({ account, operation, ms, fault, upstreamCode }) {
    const documented = upstreamCode !== undefined && Object.hasOwn(faults, upstreamCode)
    const refused = documented ? upstreamCode : fault === faults.INCORRECT_USER_PASSWORD ? 'INCORRECT_USER_PASSWORD' : undefined // a bare HTTP 401
    calls(operation, fault ? (refused ? 'refused' : 'failed') : 'ok').observe(ms / 1_000)
    codes(account, fault ? (refused ?? failureOf(fault)) : 'ok').value++
    if (fault && isUndocumented(fault, upstreamCode)) unmapped(account).value++
    if (fault === failures.invalidResponse) mismatches(operation).value++
  },
  foreignRow: ({ account }) => void foreign(account).value++,
  rowsSkipped({ account, count }) {
    skipped(account).value += count
  },
  upstreamAbandoned: ({ account }) => void codes(account, 'abandoned').value++,
  callRefused: ({ account, reason }) => void refusals(account, reason).value++,
})
