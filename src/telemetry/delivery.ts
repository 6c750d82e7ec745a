import { Gauge, type Registry } from 'prom-client'
import type { Events } from '../events.ts'
import { createTimer } from './series.ts'

/** An account whose events somebody reads from this process. */
export type DeliveryReport = { account: string; streams: number; behind: number }

/** Registers what is known of the delivery of events. There are no series before somebody reads some. */
export function createDeliveryCounts(registry: Registry, report: () => readonly DeliveryReport[]) {
  const lag = createTimer(registry, 'gateway_events_delivery_seconds', 'From learning of an event to writing it to streams', 'account')
  const gauge = (name: string, help: string, value: (report: DeliveryReport) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['account'],
      registers: [registry],
      collect() {
        this.reset()
        for (const one of report()) this.set({ account: one.account }, value(one))
      },
    })
  gauge('gateway_events_streams', 'Streams of events that are open', ({ streams }) => streams)
  gauge('gateway_events_streams_behind', 'Streams that have yet to catch up', ({ behind }) => behind)
  return { eventDelivered: ({ account, lagMs }: Events['eventDelivered']) => lag(account).observe(lagMs / 1_000) }
}
