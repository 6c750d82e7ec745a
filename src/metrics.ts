import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** What Prometheus is told: counters and gauges whose labels are bounded and name no chat, number or key. */
export type Metrics = {
  reloaded(result: 'applied' | 'refused'): void
  text(): Promise<string>
  contentType: string
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const reloads = new Counter({
    name: 'gateway_config_reloads_total',
    help: 'Attempts to take over a changed configuration, by result',
    labelNames: ['result'],
    registers: [registry],
  })
  const current = new Gauge({
    name: 'gateway_config_current',
    help: '1 if the configuration in use is the one on disk, 0 if that one was refused',
    registers: [registry],
  })
  for (const result of ['applied', 'refused']) reloads.inc({ result }, 0)
  current.set(1)
  return {
    reloaded(result) {
      reloads.inc({ result })
      current.set(result === 'applied' ? 1 : 0)
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
