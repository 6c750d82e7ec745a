import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { failures, faults } from '../afilnet/faults.ts'
import { operations } from '../afilnet/operations.ts'
import type { Events } from '../events.ts'
import { catalogue } from '../problem/catalogue.ts'
import type { AccountReport } from '../upstream/upstream.ts'
import { version } from '../version.ts'

/** What Prometheus is told: labels are bounded and name no chat, number or key, and every series is there from the start. */
export type Metrics = {
  /** What each fact counts for. */
  counts: { [F in keyof Events]?: (details: Events[F]) => void }
  /** Begins the series of all accounts and of these routes. */
  begin(routes: readonly { method: string; url: string }[]): void
  text(): Promise<string>
  contentType: string
}

export type MetricsOptions = {
  /** How the accounts stand now. */
  accounts: () => readonly AccountReport[]
  storeOk: () => boolean
  requestsInFlight: () => number
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const statuses = ['2xx', '3xx', '4xx', '5xx', 'aborted'] as const
const results = ['ok', 'refused', 'failed'] as const
const states = ['accepted', 'rejected', 'not_sent', 'unknown'] as const
const kinds = ['message', 'file'] as const
const reasons = ['overloaded', 'circuit-open', 'credentials'] as const
const limits = ['requests', 'mistakes', 'sends'] as const
const verbs = ['claim', 'settle', 'find', 'list', 'beat', 'release', 'reap', 'sweep', 'secret'] as const
const methods = operations.map(({ method }) => method)

const methodOf = (method: string) => (method === 'HEAD' ? 'GET' : method === 'GET' || method === 'POST' ? method : 'other')

/** Failures of calls that were made, by their codes without the word that all begin with. */
const failureOf = ({ code }: { code: string }) => code.replace(/^upstream-/, '')
const madeCalls = Object.values(failures).filter(({ side }) => side === 'upstream')
const answers = ['ok', ...Object.keys(faults), ...new Set(madeCalls.map(failureOf)), 'abandoned']

export function createMetrics({ accounts, storeOk, requestsInFlight }: MetricsOptions): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) => new Counter({ name, help, labelNames, registers })
  const timer = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Histogram({ name, help, labelNames, registers, buckets: seconds })
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  /** One number for each account, read when somebody asks; of an account that has gone nothing is told. */
  const accountGauge = (name: string, help: string, value: (report: AccountReport) => number | undefined) =>
    new Gauge({
      name,
      help,
      labelNames: ['account'],
      registers,
      collect() {
        this.reset()
        for (const report of accounts()) this.set({ account: report.account }, value(report) ?? Number.NaN)
      },
    })

  gauge('gateway_requests_in_flight', 'Requests that are owed an answer', requestsInFlight)
  gauge('gateway_store_up', '1 if sends can be written down', () => Number(storeOk()))
  new Gauge({ name: 'gateway_info', help: 'Always 1', labelNames: ['version', 'node'], registers }).set(
    { version, node: process.version },
    1,
  )
  accountGauge('gateway_calls_in_flight', 'Calls to Afilnet that hold a place', ({ inFlight }) => inFlight)
  accountGauge('gateway_calls_queued', 'Calls that wait for a place', ({ queued }) => queued)
  accountGauge('gateway_calls_capacity', 'Places for calls; as many again may wait', ({ capacity }) => capacity)
  accountGauge('gateway_credentials_accepted', '0 while Afilnet rejects the credentials', ({ credentials }) =>
    Number(credentials.accepted !== false),
  )
  accountGauge(
    'gateway_last_answer_timestamp_seconds',
    'When Afilnet answered last; NaN before its first answer',
    ({ lastAnswer }) => lastAnswer && Date.parse(lastAnswer.at) / 1_000,
  )
  new Gauge({
    name: 'gateway_breaker_open',
    help: '1 while calls of an operation are held back',
    labelNames: ['account', 'operation'],
    registers,
    collect() {
      this.reset()
      for (const { account, breakers } of accounts()) {
        for (const { operation, open } of breakers) this.set({ account, operation }, Number(open))
      }
    },
  })

  const requests = timer(
    'gateway_request_duration_seconds',
    'Requests by route and kind of status, HEAD with GET',
    'route',
    'method',
    'status',
  )
  const problems = counter('gateway_problems_total', 'Answers that were errors, by their code', 'code')
  const unreadable = counter(
    'gateway_connections_refused_total',
    'Connections that sent no readable request, by the code of the answer',
    'code',
  )
  const shed = counter('gateway_connections_shed_total', 'Connections closed so that others find room', 'reason')
  const limited = counter('gateway_rate_limited_total', 'Requests beyond a limit', 'limit')
  const calls = timer('gateway_upstream_duration_seconds', 'Calls to Afilnet, from the moment they leave', 'operation', 'result')
  const codes = counter('gateway_upstream_answers_total', 'How calls to Afilnet ended', 'account', 'code')
  const unmapped = counter('gateway_upstream_unmapped_total', 'Answers with a code that is not documented', 'account')
  const mismatches = counter('gateway_upstream_mismatches_total', 'Answers that do not have the documented shape', 'operation')
  const refusals = counter('gateway_calls_refused_total', 'Calls that were not made', 'account', 'reason')
  const sends = counter('gateway_sends_total', 'How sends ended; an unknown one may end again', 'account', 'kind', 'state')
  const replays = counter('gateway_send_replays_total', 'Repeated requests that were told how the first one ended', 'account')
  const interrupted = counter('gateway_sends_interrupted_total', 'Sends of processes that have died, which are unknown now')
  const store = timer('gateway_store_duration_seconds', 'Verbs of the ledger', 'verb')
  const reloads = counter('gateway_config_reloads_total', 'Attempts to take over a changed configuration', 'result')
  const current = new Gauge({
    name: 'gateway_config_current',
    help: '1 if the configuration in use is the one on disk, 0 if that one was refused',
    registers,
  })

  for (const code of [
    'invalid-request',
    'request-timeout',
    'payload-too-large',
    'uri-too-long',
    'headers-too-large',
    'method-not-allowed',
  ]) {
    unreadable.inc({ code }, 0)
  }
  for (const reason of ['share', 'idle']) shed.inc({ reason }, 0)
  current.set(1)
  for (const code of Object.keys(catalogue)) problems.inc({ code }, 0)
  for (const limit of limits) limited.inc({ limit }, 0)
  for (const operation of methods) {
    mismatches.inc({ operation }, 0)
    for (const result of results) calls.zero({ operation, result })
  }
  for (const verb of verbs) store.zero({ verb })
  for (const result of ['applied', 'refused']) reloads.inc({ result }, 0)

  function beginAccounts() {
    for (const { account } of accounts()) {
      for (const code of answers) codes.inc({ account, code }, 0)
      for (const reason of reasons) refusals.inc({ account, reason }, 0)
      for (const kind of kinds) for (const state of states) sends.inc({ account, kind, state }, 0)
      unmapped.inc({ account }, 0)
      replays.inc({ account }, 0)
    }
  }

  return {
    counts: {
      requestEnded({ route = 'none', method, status, code, caller, ms }) {
        const kind = status === undefined ? 'aborted' : `${Math.floor(status / 100)}xx`
        requests.observe({ route, method: methodOf(method), status: kind }, ms / 1_000)
        if (code === undefined) return
        problems.inc({ code })
        if (code === 'send-quota-exceeded') limited.inc({ limit: 'sends' })
        if (code === 'rate-limited') limited.inc({ limit: caller === undefined ? 'mistakes' : 'requests' })
      },
      connectionRefused({ code }) {
        problems.inc({ code })
        unreadable.inc({ code })
        if (code === 'rate-limited') limited.inc({ limit: 'mistakes' })
      },
      connectionShed: details => shed.inc(details),
      upstreamAnswered({ account, operation, ms, fault, upstreamCode }) {
        const documented = upstreamCode !== undefined && Object.hasOwn(faults, upstreamCode)
        const refused = documented ? upstreamCode : fault === faults.INCORRECT_USER_PASSWORD ? 'INCORRECT_USER_PASSWORD' : undefined // a bare HTTP 401
        const code = fault ? (refused ?? failureOf(fault)) : 'ok'
        calls.observe({ operation, result: fault ? (refused ? 'refused' : 'failed') : 'ok' }, ms / 1_000)
        codes.inc({ account, code })
        if (upstreamCode !== undefined && !documented) unmapped.inc({ account })
        if (fault === failures.invalidResponse) mismatches.inc({ operation })
      },
      upstreamAbandoned: ({ account }) => codes.inc({ account, code: 'abandoned' }),
      callRefused: details => refusals.inc(details),
      sendSettled: details => sends.inc(details),
      sendReplayed: details => replays.inc(details),
      sendsInterrupted: ({ count }) => interrupted.inc(count),
      storeAnswered: ({ verb, ms }) => store.observe({ verb }, ms / 1_000),
      configurationReloaded() {
        reloads.inc({ result: 'applied' })
        current.set(1)
        beginAccounts()
      },
      configurationReloadFailed() {
        reloads.inc({ result: 'refused' })
        current.set(0)
      },
    },
    begin(routes) {
      beginAccounts()
      for (const { method, url } of [...routes, ...['GET', 'POST', 'other'].map(method => ({ method, url: 'none' }))]) {
        for (const status of statuses) requests.zero({ route: url, method: methodOf(method), status })
      }
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
