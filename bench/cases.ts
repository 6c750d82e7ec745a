import { execFileSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { destinations, messagesOf, stampOf } from './answers.ts'
import type { Case, Figure, Outcome, Setup } from './case.ts'
import type { Ask } from './endpoint.ts'
import { events } from './events-case.ts'
import { collectionsIn } from './garbage.ts'
import { load } from './load.ts'
import { due, queue } from './queue-case.ts'
import type { Restart } from './setup.ts'
import { mean } from './statistics.ts'
import { webhooks } from './webhooks-case.ts'

const lists = (kind: 'steady' | 'changing' | 'late', count: number): Ask[] =>
  destinations(kind, count).map(destination => ({ destination }))
const sends = (count: number): Ask[] => destinations('steady', count).map(destination => ({ destination, send: true }))

/** More conversations than connections, so that no two requests under way are the same. */
const many = 256

/** Connections that each send their next request as soon as the last one is answered. */
function loadCase(given: Omit<Case, 'warm' | 'measure'> & { connections: number; shared?: true }): Case {
  const { asks, connections, shared } = given
  const run = ({ endpoint, folder, runOptions }: Setup, seconds: number) =>
    load(endpoint, { asks, connections: Math.ceil(connections * runOptions.part), seconds, folder })
  const shortest = Math.min(...asks.map(({ destination, send }) => (send ? 0 : listBytes(destination))))
  return {
    ...given,
    warm: run,
    async measure(setup) {
      const { stub, program, runOptions, endpoint } = setup
      const [before, cpuBefore] = [await stub.counts(), program.cpuSeconds()]
      const { requests, seconds, bytes, failed, broken, p50, p99 } = await run(setup, runOptions.seconds)
      const [after, cpuAfter] = [await stub.counts(), program.cpuSeconds()]
      const calls = after.calls - before.calls
      const cpuSeconds = cpuAfter - cpuBefore
      const wrong = {
        'answers were no success': failed,
        'connections broke or timed out': broken,
        'calls were not as Afilnet wants them': after.wrong - before.wrong,
        'runs had no answer at all': requests === 0 ? 1 : 0,
        'answers came without a call': shared || calls >= 0.98 * requests ? 0 : requests - calls,
        'answers were too short on average': endpoint.direct || setup.name === 'floor' || bytes >= requests * shortest ? 0 : requests,
      }
      return {
        numbers: {
          perSecond: requests / seconds,
          p50,
          p99,
          callsFor50: (50 * calls) / requests,
          busy: cpuSeconds / seconds,
          cpu: (1e6 * cpuSeconds) / requests,
        },
        mistakes: Object.entries(wrong).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : [])),
      }
    },
  }
}

let isBundled = false

async function measureStart({ name, restart }: Setup): Promise<Outcome> {
  const start = async (options: Restart = {}) => {
    const { program, startedMs } = await restart(options)
    await program.stop()
    return startedMs
  }
  if (name !== 'gateway') return { numbers: { ms: await start(), bundled: Number.NaN }, mistakes: [] }
  if (!isBundled) execFileSync('npm', ['run', '-s', 'bundle'], { cwd: join(import.meta.dirname, '..') })
  isBundled = true
  const bundled = await start({ entry: 'dist/main.js', nodeFlags: ['--enable-source-maps'] })
  return { numbers: { ms: await start(), bundled }, mistakes: [] }
}

const listBytes = (destination: string) => Buffer.byteLength(JSON.stringify({ items: messagesOf(destination, stampOf(0)) }))

const cpu: Figure = { title: 'processor time of each', unit: 'µs' }
const perSecond = (timesNginx: number): Figure => ({ title: '', unit: '/s', better: 'more', goal: { timesNginx } })

/** The targets whose memory is measured: a million requests take minutes for each. */
const memoryTargets = new Set(['gateway', 'nginx', 'express'])

/** Sends mixed requests until there are enough of them, and samples memory meanwhile. */
async function measureMemory({ name, endpoint, folder, program, runOptions }: Setup): Promise<Outcome> {
  if (!memoryTargets.has(name)) return { numbers: { memory: Number.NaN, growth: Number.NaN, requests: Number.NaN }, mistakes: [] }
  const { requests, minSeconds, maxSeconds, sliceSeconds } = runOptions.mixed
  const samples: { second: number; mb: number }[] = []
  const startedAt = performance.now()
  const second = () => (performance.now() - startedAt) / 1000
  const timer = setInterval(() => samples.push({ second: second(), mb: program.memoryMb() }), 250)
  const total = { requests: 0, failed: 0, broken: 0 }
  while ((total.requests < requests || second() < minSeconds) && second() < maxSeconds) {
    const slice = await load(endpoint, { asks: mixed, connections: Math.ceil(64 * runOptions.part), seconds: sliceSeconds, folder })
    for (const name of ['requests', 'failed', 'broken'] as const) total[name] += slice[name]
  }
  clearInterval(timer)
  const between = (from: number, to: number) => mean(samples.filter(({ second }) => second >= from && second < to).map(({ mb }) => mb))
  const end = samples.at(-1)?.second ?? 0
  const last = between(end - 10, Number.POSITIVE_INFINITY)
  const growth = end > 80 ? 100 * (last / between(60, 70) - 1) : Number.NaN
  return {
    numbers: { memory: last, growth, requests: total.requests },
    mistakes: total.failed + total.broken > 0 ? [`${total.failed} answers were no success, ${total.broken} connections broke`] : [],
  }
}

/** Counts the heap of a gateway whose V8 reports each collection; other targets cannot be asked for it. */
async function measureGarbage({ restart, runOptions, folder, name }: Setup): Promise<Outcome> {
  if (name !== 'gateway') return { numbers: { allocated: Number.NaN, promoted: Number.NaN }, mistakes: [] }
  const output = join(folder, 'collections')
  const { endpoint, program } = await restart({ nodeFlags: ['--trace-gc-nvp'], output })
  const run = (seconds: number) =>
    load(endpoint, { asks: lists('steady', many), connections: Math.ceil(64 * runOptions.part), seconds, folder })
  await run(Math.max(1, runOptions.firstWarmSeconds))
  const begin = statSync(output).size
  const { requests } = await run(runOptions.seconds)
  const { allocated, promoted } = collectionsIn(readFileSync(output, 'utf8').slice(begin))
  await program.stop()
  return { numbers: { allocated: allocated / requests / 1024, promoted: promoted / requests / 1024 }, mistakes: [] }
}

/** Of ten requests, six ask for lists that are mostly unchanged, three for changing ones, and one sends. */
const mixed: Ask[] = Array.from({ length: many * 10 }, (_, i) => {
  const kind = i % 10 < 6 ? 'steady' : 'changing'
  return { destination: destinations(kind, many)[Math.floor(i / 10)] ?? '', ...(i % 10 === 9 && { send: true as const }) }
})

export const cases = {
  'get-unchanged': loadCase({
    title: 'GET, answers mostly unchanged',
    asks: lists('steady', many),
    connections: 64,
    direct: true,
    figures: { perSecond: perSecond(1), cpu },
  }),
  'get-different': loadCase({
    title: 'GET, every answer different',
    asks: lists('changing', many),
    connections: 64,
    direct: true,
    figures: { perSecond: perSecond(0.75), cpu },
  }),
  'post-ledger': loadCase({
    title: 'POST, an Idempotency-Key on each',
    asks: sends(many),
    connections: 64,
    direct: true,
    figures: { perSecond: perSecond(0.2), cpu },
  }),
  'identical-polls': loadCase({
    title: '64 identical polls',
    asks: lists('steady', 1),
    connections: 64,
    shared: true,
    figures: {
      perSecond: perSecond(2.6),
      callsFor50: { title: 'calls upstream for 50 requests', unit: '', digits: 2, goal: { atMost: 1 } },
    },
  }),
  pollers: loadCase({
    title: '1,000 pollers of 8 conversations, upstream 20 ms',
    asks: lists('late', 8),
    connections: 1000,
    shared: true,
    figures: { perSecond: perSecond(1.2), p99: { title: 'p99', unit: 'ms', goal: { atMost: 150 } } },
  }),
  'added-latency': loadCase({
    title: 'p50 added to an upstream of 20 ms, 64 connections',
    asks: lists('late', many),
    connections: 64,
    direct: true,
    figures: { p50: { title: '', unit: 'ms', digits: 2, added: true, goal: { beyondNginx: 0.3 } } },
  }),
  garbage: {
    title: 'GET, answers mostly unchanged: heap allocated for each',
    asks: lists('steady', many),
    once: true,
    figures: {
      allocated: { title: '', unit: 'kB', digits: 1, goal: { atMost: 22 } },
      promoted: { title: 'of it still in use after the second collection', unit: 'kB', digits: 1, goal: { atMost: 1 } },
    },
    warm: async () => {},
    measure: measureGarbage,
  },
  start: {
    title: 'Start to first answered request',
    asks: lists('steady', 1),
    figures: {
      ms: { title: '', unit: 'ms', better: 'less', goal: { atMost: 450 } },
      bundled: { title: 'from the bundle, as the image starts', unit: 'ms', goal: { atMost: 300 } },
    },
    warm: measureStart,
    measure: measureStart,
  },
  memory: {
    title: 'Mixed requests: memory at the end',
    asks: mixed,
    once: true,
    figures: {
      memory: { title: '', unit: 'MB', better: 'less', goal: { atMost: 230 } },
      growth: { title: 'growth after the first minute', unit: '%', digits: 1, goal: { atMost: 3 } },
      requests: { title: 'requests made', unit: '' },
    },
    warm: async () => {},
    measure: measureMemory,
  },
  events,
  webhooks,
  queue,
  due,
} satisfies Record<string, Case>

export type CaseName = keyof typeof cases
