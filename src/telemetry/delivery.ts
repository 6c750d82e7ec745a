import type { Registry } from 'prom-client'
import type { Events } from '../events.ts'
import { createGauge, createTimer } from './series.ts'

/** An account with events, and who reads them from this process. */
export type DeliveryReport = { account: string; streams: number; behind: number }

/** Registers what is known of the delivery of events. There are no series where no account has events. */
export function createDeliveryCounts(registry: Registry, report: () => readonly DeliveryReport[]) {
  const gauge = (name: string, help: string, value: (report: DeliveryReport) => number) =>
    createGauge(registry, name, help, () =>
      report().map(one => {
        lag(one.account) // creates its series
        return { labels: { account: one.account }, value: value(one) }
      }),
    )
  gauge('gateway_events_streams', 'Streams of events that are open', ({ streams }) => streams)
  gauge('gateway_events_streams_behind', 'Streams that have yet to be given the newest event', ({ behind }) => behind)
  const lagHelp = "From Afilnet's answer that shows an event to writing it to streams that keep up"
  const lag = createTimer(registry, 'gateway_events_delivery_seconds', lagHelp, 'account')
  return { eventDelivered: ({ account, lagMs }: Events['eventDelivered']) => lag(account).observe(lagMs / 1_000) }
}
