import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import type { Case, Outcome, Setup } from './case.ts'
import { channels } from './conversations.ts'
import type { Endpoint } from './endpoint.ts'
import type { Program } from './programs.ts'
import { mean, percentile } from './statistics.ts'
import { openStreams } from './streams.ts'

const streamCount = 2_000
const perSecond = 100
const lastEventsMs = 2_000 // for the last events of a run to arrive
const pollPatienceMs = 120_000

/** 2,000 streams, and 100 events a second that each of them gets. */
export const events: Case = {
  title: '2,000 streams, 100 events/s: p99 from the answer to the last byte of the last stream',
  asks: [],
  targets: ['gateway', 'plain-http'],
  figures: {
    p99: { title: '', unit: 'ms', goal: { atMost: 150 } },
    cpu: { title: 'processor time for each event and stream', unit: 'µs', digits: 1 },
    memory: { title: 'resident memory of each stream', unit: 'kB', digits: 0, goal: { atMost: 40 } },
    poll: { title: 'a poll over 10,000 quiet conversations: processor time', unit: 'ms', digits: 0, goal: { atMost: 40 } },
    pollOfOne: { title: 'the same where one of them has a new message', unit: 'ms', digits: 0 },
  },
  warm: async () => {},
  async measure(setup) {
    const { numbers, mistakes } = await measureStreams(setup)
    if (setup.name !== 'gateway') return { numbers: { ...numbers, poll: Number.NaN, pollOfOne: Number.NaN }, mistakes }
    const poll = await measurePoll(setup, channels.quiet)
    const pollOfOne = await measurePoll(setup, channels.almostQuiet)
    return { numbers: { ...numbers, poll, pollOfOne }, mistakes }
  },
}

async function measureStreams({ name, restart, runOptions }: Setup): Promise<Outcome> {
  const watched = { channels: channels.busy.map(id => `whatsapp/${id}`) }
  const { endpoint, program } = await restart(name === 'gateway' ? { features: watched } : {})
  const one = await openStreams(endpoint, 1)
  const memoryBefore = await memoryOf(program)
  const count = Math.ceil(streamCount * runOptions.part)
  const all = await openStreams(endpoint, count)
  const stopPublishing = name === 'gateway' ? () => {} : publish(endpoint)
  await Promise.all([one.first, all.first])
  await sleep(1_000 * runOptions.warmSeconds)

  const [from, cpuBefore] = [Date.now(), program.cpuSeconds()]
  await sleep(1_000 * runOptions.seconds)
  const [until, cpuSeconds] = [Date.now(), program.cpuSeconds() - cpuBefore]
  await sleep(lastEventsMs)
  const memory = (await memoryOf(program)) - memoryBefore
  const happened = one.events()
  const arrivals = all.arrivals(happened.map(({ id }) => id))
  const lags = happened.flatMap(({ at }, i) => (at >= from && at < until ? [(arrivals[i] ?? Number.NaN) - at] : []))
  stopPublishing()
  for (const streams of [one, all]) streams.close()
  await program.stop()

  const missing = lags.filter(ms => ms === Number.POSITIVE_INFINITY).length
  const rate = (1_000 * lags.length) / (until - from)
  return {
    numbers: {
      p99: percentile(lags, 0.99),
      cpu: (1e6 * cpuSeconds) / (lags.length * count),
      memory: (1024 * memory) / count,
    },
    mistakes: [
      ...(missing > 0 && name === 'gateway' ? [`${missing} of ${lags.length} events did not reach all streams`] : []),
      ...(rate < 0.8 * perSecond && name === 'gateway' ? [`there were only ${rate.toFixed(0)} events a second`] : []),
    ],
  }
}

async function memoryOf(program: Program) {
  const samples: number[] = []
  for (let i = 0; i < 10; i++) {
    await sleep(100)
    samples.push(program.memoryMb())
  }
  return mean(samples)
}

/** Posts events of the same size to a program that only passes them on. */
function publish({ url }: Endpoint) {
  const startedAt = performance.now()
  let number = 0
  const post = () => {
    const destination = `3450200${String(number % 1_000).padStart(5, '0')}`
    const messageId = `20000000${number++}`
    const chat = { platform: 'whatsapp', platformId: '200', destination }
    const at = new Date().toISOString()
    const text = `Is my order ${number} on its way? I made it on Monday, and was told that it takes two days`
    const message = { ...chat, messageId, message: text, sent: false, direction: 'in', status: 'READ', datetime: at }
    const event = { id: `${messageId}-cursor`, type: 'message.created', at, ...chat, messageId, direction: 'in', message }
    request(new URL('/events', url), { method: 'POST', body: JSON.stringify(event) }).then(
      ({ body }) => body.dump(),
      () => {}, // it is missing then
    )
  }
  const timer = setInterval(() => {
    while (number < ((performance.now() - startedAt) * perSecond) / 1_000) post() // this process may have been late
  }, 1_000 / perSecond)
  return () => clearInterval(timer)
}

/** The processor time of one poll of a channel, while nobody wants its events. */
async function measurePoll({ restart, runOptions, stub }: Setup, channel: string): Promise<number> {
  const polls = async () => (await stub.counts()).polls[channel] ?? 0
  const before = await polls()
  const { program } = await restart({ features: { channels: [`whatsapp/${channel}`], env: { STORE_URL: 'sqlite::memory:' } } })
  const until = async (count: number) => {
    for (const giveUpAt = Date.now() + pollPatienceMs; (await polls()) < before + count; await sleep(20))
      if (Date.now() > giveUpAt) throw new Error(`the channel was not polled ${count} times`)
  }
  const first = 4 // the first one writes what it finds
  const count = Math.max(2, runOptions.seconds)
  await until(first)
  const cpuBefore = program.cpuSeconds()
  await until(first + count)
  const cpuSeconds = program.cpuSeconds() - cpuBefore
  await program.stop()
  return (1_000 * cpuSeconds) / count
}
