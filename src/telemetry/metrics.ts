import { Registry } from 'prom-client'
import { type Counts, createCounts } from './counts.ts'
import { createDeliveryCounts, type DeliveryReport } from './delivery.ts'
import { createGauges, type States } from './gauges.ts'
import { createMediaCounts, type MediaReport } from './media.ts'
import { createPollingCounts, type PollingReport } from './polling.ts'
import { createMetric, endSeries } from './series.ts'

/** What Prometheus reads: labels are bounded and name no chat, number or key, and every series exists from the start. */
export type Metrics = {
  counts: Counts
  /** Creates the series of all accounts and of these routes. */
  begin(routes: readonly { method: string; url: string }[]): void
  text(): Promise<string>
  contentType: string
}

/** `droppedLines` counts what the log has lost since the start. */
type MetricsOptions = States & {
  droppedLines: () => number
  polling: () => readonly PollingReport[]
  delivery: () => readonly DeliveryReport[]
  media: () => MediaReport
}

export function createMetrics({ droppedLines, polling, delivery, media, ...states }: MetricsOptions): Metrics {
  const registry = new Registry()
  const gauges = createGauges(registry, states)
  const { counts, beginAccount, beginRoutes } = createCounts(registry, gauges)
  const droppedHelp = 'Log lines that were dropped because the output was blocked or failed'
  const dropped = { name: 'gateway_log_lines_dropped_total', help: droppedHelp, type: 'counter' } as const
  createMetric(registry, dropped, () => [{ labels: {}, value: droppedLines() }])
  const beginAccounts = () => {
    for (const { account } of states.accounts()) beginAccount(account)
  }

  return {
    counts: {
      ...counts,
      ...createPollingCounts(registry, polling),
      ...createDeliveryCounts(registry, delivery),
      ...createMediaCounts(registry, media),
      configurationReloaded(details) {
        counts.configurationReloaded?.(details)
        for (const name of details.accounts.removed) endSeries(registry, 'account', name)
        for (const name of details.webhooks.removed) endSeries(registry, 'webhook', name)
        beginAccounts()
      },
    },
    begin(routes) {
      beginAccounts()
      beginRoutes(routes)
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
