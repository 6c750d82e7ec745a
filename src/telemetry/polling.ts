import type { Registry } from 'prom-client'
import type { Events } from '../events.ts'
import { beginSeries, createCounter, createGauge, createTimer } from './series.ts'

/** An account that this process polls. */
export type PollingReport = { account: string; watched: number; unreadable: number; intervalMs: number }

const types = ['message.created', 'message.updated', 'gap'] as const

/** Registers what is known of polling. There are no series before a process polls. */
export function createPollingCounts(registry: Registry, report: () => readonly PollingReport[]) {
  const events = createCounter(registry, 'gateway_events_total', 'Events found by polling, by type', 'account', 'type')
  const tooLargeHelp = 'Lists of watched channels and conversations beyond AFILNET_MAX_RESPONSE_BYTES'
  const tooLarge = createCounter(registry, 'gateway_events_lists_too_large_total', tooLargeHelp, 'account')
  const polls = createTimer(registry, 'gateway_events_poll_duration_seconds', 'Polls of a channel', 'account', 'result')
  const lastPolls = new Map<string, number>()
  const lastPollHelp = 'When a channel was last polled with success, by the process that polls the account'
  createGauge(registry, 'gateway_events_last_poll_timestamp_seconds', lastPollHelp, () =>
    Array.from(lastPolls, ([account, value]) => ({ labels: { account }, value })),
  )
  const gauge = (name: string, help: string, value: (report: PollingReport) => number) =>
    createGauge(registry, name, help, () => report().map(polled => ({ labels: { account: polled.account }, value: value(polled) })))
  gauge('gateway_events_channels_watched', 'Channels that this process polls', ({ watched }) => watched)
  gauge('gateway_events_channels_unreadable', 'Watched channels that cannot be read', ({ unreadable }) => unreadable)
  const intervalHelp = 'Time between two polls of a channel: of the slowest one, which is asked for less often if its list takes long'
  gauge('gateway_events_interval_seconds', intervalHelp, ({ intervalMs }) => intervalMs / 1_000)

  return {
    pollingStateChanged({ account, polling }: Events['pollingStateChanged']) {
      lastPolls.delete(account)
      if (!polling) return
      beginSeries(registry, 'account', account)
      for (const type of types) events(account, type)
      for (const result of ['ok', 'failed']) polls(account, result)
      tooLarge(account)
      lastPolls.set(account, Date.now() / 1_000)
    },
    pollEnded({ account, ms, ok }: Events['pollEnded']) {
      if (!lastPolls.has(account)) return // the last poll may end after polling has stopped
      polls(account, ok ? 'ok' : 'failed').observe(ms / 1_000)
      if (ok) lastPolls.set(account, Date.now() / 1_000)
    },
    listTooLarge: ({ account }: Events['listTooLarge']) => void tooLarge(account).value++,
    eventsAppended({ account, type, count }: Events['eventsAppended']) {
      events(account, type).value += count
    },
  }
}
