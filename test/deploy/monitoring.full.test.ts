import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { stringify } from 'yaml'
import { faults } from '../../src/afilnet/faults.ts'
import { catalogue } from '../../src/problem/catalogue.ts'
import { type TestGateway, test } from '../gateway.ts'
import { installed } from '../store/stores.ts'
import { documentsIn, publicPaths, read, root } from './files.ts'

type Rule = { alert: string; expr: string; labels: Record<string, string>; annotations: Record<string, string> }
type Override = { matcher: { options: string }; properties: { id: string; value: unknown }[] }
type Panel = {
  title: string
  type: string
  targets?: { expr: string; legendFormat: string }[]
  fieldConfig?: { defaults: { unit?: string }; overrides: Override[] }
}

const rules: Rule[] = documentsIn('deploy/prometheus/alerts.yml')[0].groups[0].rules
const dashboard = JSON.parse(read('deploy/grafana/dashboard.json'))
const panels: Panel[] = dashboard.panels
const labelsIn = (template: string) => [...template.matchAll(/\$labels\.(\w+)|\{\{(\w+)\}\}/g)].map(([, one, other]) => one ?? other ?? '')

/** Every query, with the labels that are shown of its result. */
const queries = [
  ...rules.map(({ alert, expr, annotations }) => ({ of: alert, expr, shown: labelsIn(Object.values(annotations).join()) })),
  ...panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      of: `${title}: ${legendFormat}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$account', '.*'),
      shown: labelsIn(legendFormat),
    })),
  ),
]

/** What the gateway serves: the labels of each metric of its own. */
const metrics: Record<string, readonly string[]> = {
  gateway_info: ['version', 'node'],
  gateway_requests_in_flight: [],
  gateway_request_duration_seconds: ['route', 'method', 'status'],
  gateway_problems_total: ['code'],
  gateway_rate_limited_total: ['limit'],
  gateway_connections_refused_total: ['code'],
  gateway_connections_shed_total: ['reason'],
  gateway_upstream_duration_seconds: ['operation', 'result'],
  gateway_upstream_answers_total: ['account', 'code'],
  gateway_upstream_unmapped_total: ['account'],
  gateway_upstream_mismatches_total: ['operation'],
  gateway_upstream_foreign_rows_total: ['account'],
  gateway_upstream_rows_skipped_total: ['account'],
  gateway_upstream_tokens_total: ['account', 'result'],
  gateway_calls_in_flight: ['account'],
  gateway_calls_queued: ['account'],
  gateway_calls_capacity: ['account'],
  gateway_calls_refused_total: ['account', 'reason'],
  gateway_breaker_open: ['account', 'operation'],
  gateway_credentials_accepted: ['account'],
  gateway_last_answer_timestamp_seconds: ['account'],
  gateway_sends_total: ['account', 'kind', 'state'],
  gateway_send_replays_total: ['account'],
  gateway_sends_interrupted_total: [],
  gateway_store_duration_seconds: ['verb'],
  gateway_store_up: [],
  gateway_store_bytes: [],
  gateway_store_max_bytes: [],
  gateway_ledger_changed: [],
  gateway_queue_sends: ['state'],
  gateway_queue_age_seconds: [],
  gateway_config_reloads_total: ['result'],
  gateway_config_current: [],
  gateway_log_lines_dropped_total: [],
  gateway_events_total: ['account', 'type'],
  gateway_webhook_delivery_duration_seconds: ['webhook', 'result'],
  gateway_webhook_up: ['webhook'],
  gateway_webhook_lag_seconds: ['webhook'],
  gateway_media_uploads_total: ['result'],
  gateway_media_uploaded_bytes_total: [],
  gateway_media_deleted_total: ['reason'],
  gateway_media_sweep_failures_total: [],
  gateway_media_files: [],
  gateway_media_bytes: [],
  gateway_media_max_bytes: [],
  gateway_events_poll_duration_seconds: ['account', 'result'],
  gateway_events_last_poll_timestamp_seconds: ['account'],
  gateway_events_lists_too_large_total: ['account'],
  gateway_events_interval_seconds: ['account'],
  gateway_events_delivery_seconds: ['account'],
  gateway_events_streams: ['account'],
  gateway_events_streams_behind: ['account'],
  gateway_events_channels_watched: ['account'],
  gateway_events_channels_unreadable: ['account'],
}
const ofPrometheus = ['job', 'instance', 'le']

type Use = { metric: string; matchers: { label: string; operator: string; value: string }[] }

/** The metrics that a query asks for, with what it asks of their labels. */
const usesIn = (expr: string): Use[] =>
  [...expr.matchAll(/\b((?:gateway|process|nodejs)_\w+|up(?=\{))(?:\{([^}]*)\})?/g)].map(([, metric = '', within = '']) => ({
    metric,
    matchers: [...within.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)].map(([, label = '', operator = '', value = '']) => ({
      label,
      operator,
      value,
    })),
  }))

const groupingsIn = (expr: string) => [...expr.matchAll(/\b(?:by|on)\s*\(([^)]+)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/))
const withoutStrings = (expr: string) => expr.replace(/"[^"]*"/g, '""')
const familyOf = (metric: string) => metric.replace(/_(bucket|sum|count)$/, '')

type Sample = { metric: string; labels: Record<string, string> }

async function samplesOf({ adminUrl }: TestGateway): Promise<Sample[]> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return [...text.matchAll(/^(\w+)(?:\{(.*)\})? /gm)].map(([, metric = '', labels = '']) => ({
    metric,
    labels: Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value])),
  }))
}

/** One of each kind that queries ask for by name: a read, a send, and a caller's mistake. */
async function answerAFew(gateway: TestGateway) {
  await gateway.get('/channels')
  await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello' })
  await gateway.get('/nowhere')
}

const fits = ({ labels }: Sample, { matchers }: Use) =>
  matchers.every(({ label, operator, value }) => {
    if (label === 'job' || label === 'instance') return true
    const matches = operator.includes('~') ? new RegExp(`^(?:${value})$`).test(labels[label] ?? '') : labels[label] === value
    return matches !== operator.startsWith('!')
  })

/** A gateway with every series: it watches channels, and has a webhook whose endpoint is down. */
const watching = {
  EVENTS_CHANNELS: '*',
  WEBHOOK_URL: 'http://127.0.0.1:9/',
  WEBHOOK_SECRET: `whsec_${Buffer.from('fake-webhook-secret-for-tests-01').toString('base64')}`,
}

describe('A query', () => {
  test.for(queries)('names metrics and labels that exist ($of)', ({ expr, shown }) => {
    const uses = usesIn(withoutStrings(expr))
    const known = new Set([...ofPrometheus, ...uses.flatMap(({ metric }) => metrics[familyOf(metric)] ?? metrics[metric] ?? [])])
    const asked = uses.flatMap(({ matchers }) => matchers.map(({ label }) => label))

    expect(uses.length).toBeGreaterThan(0)
    for (const { metric } of uses.filter(({ metric }) => metric.startsWith('gateway_'))) {
      expect(metrics[familyOf(metric)] ?? metrics[metric], metric).toBeDefined()
    }
    expect([...asked, ...groupingsIn(expr), ...shown].filter(label => !known.has(label))).toEqual([])
  })

  test('finds what it asks for at a gateway that has answered a few requests', async ({ start }) => {
    const gateway = await start({ env: watching })
    await answerAFew(gateway)

    const missing = async () => {
      const samples = await samplesOf(gateway)
      return queries.flatMap(({ of, expr }) =>
        usesIn(expr)
          .filter(use => use.metric !== 'up' && !samples.some(sample => sample.metric === use.metric && fits(sample, use)))
          .map(({ metric, matchers }) => `${of}: ${metric} ${matchers.map(({ label, operator, value }) => label + operator + value)}`),
      )
    }
    await expect.poll(missing).toEqual([])
  })
})

describe('GET /metrics', () => {
  test('serves what the queries are checked against, and nothing else of its own', async ({ start }) => {
    const gateway = await start({ env: watching })
    await answerAFew(gateway)

    const served = async () =>
      Object.fromEntries(
        (await samplesOf(gateway))
          .filter(({ metric }) => metric.startsWith('gateway_'))
          .map(({ metric, labels: { le, ...labels } }) => [metrics[metric] ? metric : familyOf(metric), Object.keys(labels).sort()]),
      )
    await expect.poll(served).toEqual(Object.fromEntries(Object.entries(metrics).map(([name, labels]) => [name, [...labels].sort()])))
  })
})

describe('deploy/prometheus/alerts.yml', () => {
  test('leads from every alert to its entry in the runbook, which has no other entries', () => {
    const pages = [...read('docs/runbook.md').matchAll(/^### (Gateway\w+)$/gm)].map(([, name]) => name)

    const [{ global }] = documentsIn('deploy/prometheus/prometheus.yml')

    expect(global.external_labels.runbook).toMatch(/^https:\/\/.*\/runbook\.md$/)
    expect(pages).toEqual(rules.map(({ alert }) => alert))
    for (const { alert, annotations, labels } of rules) {
      expect(annotations, alert).toEqual({
        summary: expect.any(String),
        description: expect.any(String),
        runbook_url: `{{ $externalLabels.runbook }}#${alert.toLowerCase()}`,
      })
      expect(labels.severity).toMatch(/^(critical|warning)$/)
    }
  })

  test('names problems and routes that the gateway has', () => {
    const matchers = rules.flatMap(({ expr }) => usesIn(expr).flatMap(({ matchers }) => matchers))
    const routes = publicPaths.map(path => path.replace(/\{(\w+)\}/g, ':$1'))

    for (const { label, value } of matchers) {
      if (label === 'code')
        expect(
          Object.keys({ ...catalogue, ...faults }).some(code => new RegExp(`^(?:${value})$`).test(code)),
          value,
        ).toBe(true)
      if (label === 'route')
        expect(
          routes.some(route => new RegExp(`^(?:${value})$`).test(route)),
          value,
        ).toBe(true)
    }
  })

  test('raises each alert in its own test', () => {
    for (const { alert } of rules) expect(read('deploy/prometheus/alerts.test.yml')).toContain(`{alertname="${alert}"}`)
  })
})

describe('docs/runbook.md', () => {
  test('names panels that the dashboard has, and quotes lines and names of the program', () => {
    const runbook = read('docs/runbook.md')
    const panelsOf = [...runbook.matchAll(/(?<![*])\*([A-Z][^*]+)\*(?![*:,])/g)].map(([, name]) => name)
    const quoted = [...runbook.matchAll(/"([a-z][\w ,-]+)"/gi)].map(([, words = '']) => words).filter(words => words !== 'Afilnet gateway')
    const sources = globSync('src/**/*.ts', { cwd: root }).map(read).join()

    expect(panelsOf.filter(name => !panels.some(({ title }) => title.replace(/: p99$/, '') === name || title === name))).toEqual([])
    expect(quoted.length).toBeGreaterThan(20)
    expect(quoted.filter(words => !sources.includes(words))).toEqual([])
  })
})

describe('deploy/grafana/dashboard.json', () => {
  test('shows as seconds only what is in seconds', () => {
    const isTime = (expr: string) => /_seconds\b|_seconds_bucket|^time\(\)/.test(expr)
    const wrong = panels.flatMap(({ title, fieldConfig, targets = [] }) =>
      targets
        .filter(({ expr, legendFormat }) => {
          const fits = ({ matcher }: Override) => new RegExp(matcher.options.replace(/^\/|\/$/g, '')).test(legendFormat)
          const own = fieldConfig?.overrides.filter(fits).flatMap(({ properties }) => properties.find(({ id }) => id === 'unit') ?? [])[0]
          return (own?.value ?? fieldConfig?.defaults.unit) === 's' && !isTime(expr)
        })
        .map(({ legendFormat }) => `${title}: ${legendFormat}`),
    )

    expect(wrong).toEqual([])
  })

  test('puts each error of the gateway on exactly one side', () => {
    const sides = panels.filter(({ title, type }) => type === 'stat' && /^(Afilnet|Us: .*)$/.test(title))
    const patterns = sides.map(({ targets = [] }) => new RegExp(`^(?:${/code=~"([^"]+)"/.exec(targets[0]?.expr ?? '')?.[1]})$`))

    expect(patterns).toHaveLength(3)
    for (const [code, { status }] of Object.entries(catalogue)) {
      expect(patterns.filter(pattern => pattern.test(code)).length, code).toBe(status >= 500 ? 1 : 0)
    }
  })

  test("is where Grafana's provisioning looks for it, with its data", () => {
    const [{ services }] = documentsIn('docker-compose.yml')
    const [{ providers }] = documentsIn('deploy/grafana/provisioning/dashboards/afilnet-gateway.yml')
    const mounted = services.grafana.volumes.find((volume: string) => volume.startsWith('./deploy/grafana/dashboard.json:'))

    expect(mounted).toContain(`:${providers[0].options.path}/`)
    expect(dashboard.templating.list.map(({ name, type }: Record<string, string>) => [name, type])).toContainEqual([
      'datasource',
      'datasource',
    ])
    for (const panel of panels.filter(({ targets }) => targets)) expect(panel).toHaveProperty('datasource.uid', `\${datasource}`)
  })

  test('gives each panel a place and an id of its own', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }: { gridPos: Record<'x' | 'y' | 'w' | 'h', number> }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    )

    expect(new Set(cells).size).toBe(cells.length)
    expect(new Set(dashboard.panels.map(({ id }: { id: number }) => id)).size).toBe(panels.length)
    expect(cells.every((cell: string) => Number(cell.split(',')[0]) < 24)).toBe(true)
  })
})

describe.skipIf(!installed('promtool'))('promtool (of the package prometheus)', () => {
  const promtool = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: root, encoding: 'utf8' })
    return { status, said: stdout + stderr }
  }

  test.for([
    ['check', 'config', 'deploy/prometheus/prometheus.yml'],
    ['check', 'rules', 'deploy/prometheus/alerts.yml'],
    ['test', 'rules', 'deploy/prometheus/alerts.test.yml'],
  ])('%s %s %s', args => {
    const { status, said } = promtool(...args)

    expect(status, said).toBe(0)
    expect(said).toContain('SUCCESS')
  })

  test('can read every query of the dashboard', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dashboard-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'rules.yml')
    const asRules = queries.map(({ expr }, index) => ({ record: `query:${index}`, expr }))
    writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules: asRules }] }))

    const { status, said } = promtool('check', 'rules', file)

    expect(status, said).toBe(0)
    expect(said).toContain(`${queries.length} rules found`)
  })
})
