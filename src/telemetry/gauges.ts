import { collectDefaultMetrics, type Registry } from 'prom-client'
import type { AccountReport } from '../upstream/upstream.ts'
import { version } from '../version.ts'
import { type Count, createGauge } from './series.ts'

/** The states that gauges show, each read at a scrape. */
export type States = {
  accounts: () => readonly AccountReport[]
  storeOk: () => boolean
  ledgerChanged: () => boolean
  storeMaxBytes: number
  requestsInFlight: () => number
  webhooks?: () => readonly WebhookGauges[]
  /** What waits in the queue; nothing without one. */
  backlog: () => { waiting: number; held: number; dueAt?: number } | undefined
}

/** A webhook that this process delivers for. */
type WebhookGauges = { webhook: string; state: string; lag: number }

/** Registers the gauges of the process, its accounts and its webhooks; returns those that follow events. */
export function createGauges(
  registry: Registry,
  { accounts, storeOk, ledgerChanged, storeMaxBytes, requestsInFlight, backlog, webhooks = () => [] }: States,
): { configCurrent: Count; storeBytes: Count } {
  collectDefaultMetrics({ register: registry })
  const gauge = createGauge.bind(undefined, registry)

  gauge('gateway_requests_in_flight', 'Requests that are not answered yet', requestsInFlight)
  gauge('gateway_store_up', '1 if the ledger can record sends', () => Number(storeOk()))
  const storeBytes = { value: 0 }
  gauge('gateway_store_bytes', 'Bytes of the ledger, as the limit counts them', () => storeBytes.value)
  gauge('gateway_store_max_bytes', 'STORE_MAX_MB in bytes', () => storeMaxBytes)
  const changedHelp = '1 while sends with a key are refused because the ledger is another one'
  gauge('gateway_ledger_changed', changedHelp, () => Number(ledgerChanged()))
  gauge('gateway_queue_sends', 'Queued sends: those that wait, and those that an operator holds', () => {
    const { waiting = 0, held = 0 } = backlog() ?? {}
    return Object.entries({ waiting, held }).map(([state, value]) => ({ labels: { state }, value }))
  })
  gauge('gateway_queue_age_seconds', 'For how long the earliest queued send has been due; 0 if none is', () => {
    const dueAt = backlog()?.dueAt
    return dueAt === undefined ? 0 : Math.max(0, Date.now() - dueAt) / 1_000
  })
  gauge('gateway_info', 'Always 1', () => [{ labels: { version, node: process.version }, value: 1 }])
  const ofAccounts = (name: string, help: string, value: (report: AccountReport) => number) =>
    gauge(name, help, () => accounts().map(report => ({ labels: { account: report.account }, value: value(report) })))
  ofAccounts('gateway_calls_in_flight', 'Calls to Afilnet that are running', ({ inFlight }) => inFlight)
  ofAccounts('gateway_calls_queued', 'Calls to Afilnet that wait in the queue', ({ queued }) => queued)
  const capacityHelp = 'Most calls to Afilnet at a time; the queue has room for as many again'
  ofAccounts('gateway_calls_capacity', capacityHelp, ({ capacity }) => capacity)
  const acceptedHelp = '0 while Afilnet rejects the credentials'
  ofAccounts('gateway_credentials_accepted', acceptedHelp, ({ credentials }) => Number(credentials.accepted !== false))
  const answerHelp = 'Time of the last answer of Afilnet; NaN before the first'
  ofAccounts('gateway_last_answer_timestamp_seconds', answerHelp, ({ lastAnswer }) =>
    lastAnswer ? Date.parse(lastAnswer.at) / 1_000 : Number.NaN,
  )
  gauge('gateway_breaker_open', '1 while the circuit breaker of an operation is open', () =>
    accounts().flatMap(({ account, breakers }) =>
      breakers.map(({ operation, open }) => ({ labels: { account, operation }, value: Number(open) })),
    ),
  )
  gauge('gateway_webhook_up', '0 while a webhook is paused or disabled; shown by the process that delivers', () =>
    webhooks().map(({ webhook, state }) => ({ labels: { webhook }, value: Number(state === 'ok') })),
  )
  gauge('gateway_webhook_lag_seconds', 'Age of the oldest event that waits for a webhook', () =>
    webhooks().map(({ webhook, lag }) => ({ labels: { webhook }, value: lag })),
  )
  const configCurrent = { value: 1 }
  const currentHelp = '1 if the configuration in use is the one on disk, 0 if that one was refused'
  gauge('gateway_config_current', currentHelp, () => configCurrent.value)
  return { configCurrent, storeBytes }
}
