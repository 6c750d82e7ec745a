import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { destinations } from './answers.ts'
import type { Case, Outcome, Setup } from './case.ts'
import { type Ask, requestFor } from './endpoint.ts'
import { load } from './load.ts'
import { newFolder } from './setup.ts'
import { percentile } from './statistics.ts'
import { withPool } from './verify.ts'

const queueing = () => ({
  features: { env: { QUEUE_KEY: randomBytes(32).toString('base64'), STORE_URL: `sqlite:${join(newFolder(), 'ledger.sqlite')}` } },
})
const conversations = 256
const asks = (sendAt?: string): Ask[] =>
  destinations('steady', conversations).map(destination => ({ destination, send: true, ...(sendAt !== undefined && { more: { sendAt } }) }))
const dayMs = 86_400_000

/** Sends that wait, beside those that go at once, in the same process and ledger. */
export const queue: Case = {
  title: 'Sends queued for tomorrow, to the rate of those that go at once',
  asks: [],
  targets: ['gateway'],
  figures: {
    ratio: { title: '', unit: '×', digits: 2, goal: { atLeast: 0.7 } },
    atOnce: { title: 'sends that go at once', unit: '/s' },
    queued: { title: 'sends accepted for tomorrow', unit: '/s' },
    now: { title: 'sends accepted into the queue that are due now, while others go', unit: '/s' },
  },
  warm: async () => {},
  async measure({ restart, folder, runOptions }) {
    const { endpoint, program } = await restart(queueing())
    const options = { connections: Math.ceil(64 * runOptions.part), seconds: runOptions.seconds, folder }
    const rates: number[] = []
    let wrong = 0
    await load(endpoint, { ...options, asks: asks(), seconds: Math.max(1, runOptions.warmSeconds) })
    for (const some of [asks(), asks(new Date(Date.now() + dayMs).toISOString()), asks(new Date().toISOString())]) {
      const { requests, seconds, failed, broken } = await load(endpoint, { ...options, asks: some })
      rates.push(requests / seconds)
      wrong += failed + broken
    }
    await program.stop()
    const [atOnce = 0, queued = 0, now = 0] = rates
    return {
      numbers: { ratio: queued / atOnce, atOnce, queued, now },
      mistakes: wrong > 0 ? [`${wrong} sends were no success`] : [],
    }
  },
}

const waitingCount = 10_000
const dueEachSecond = 100
const beginsInMs = 2_000

/** How late sends leave that become due one after the other, while many others wait. */
export const due: Case = {
  title: '10,000 sends wait, 100/s become due: p99 from due to sent',
  asks: [],
  targets: ['gateway'],
  figures: { p99: { title: '', unit: 'ms', goal: { atMost: 250 } }, p50: { title: 'p50', unit: 'ms' } },
  warm: async () => {},
  measure: measureDue,
}

async function measureDue({ restart, stub, runOptions }: Setup): Promise<Outcome> {
  const { endpoint, program } = await restart(queueing())
  const post = (all: readonly Ask[]) =>
    withPool(endpoint, async send => {
      const statuses = await Promise.all(all.map(async ask => (await send(requestFor(ask, endpoint))).status))
      return statuses.filter(status => status !== 202).length
    })
  const tomorrow = new Date(Date.now() + dayMs).toISOString()
  const waiting = destinations('changing', Math.ceil(waitingCount * runOptions.part))
  const refused = await post(waiting.map(destination => ({ destination, send: true, more: { sendAt: tomorrow } })))

  await stub.get('/delays')
  const count = Math.ceil(dueEachSecond * runOptions.seconds)
  const begin = Date.now() + beginsInMs
  const timely = destinations('steady', count).map((destination, i): Ask => {
    const at = begin + (1_000 / dueEachSecond) * i
    return { destination, send: true, more: { message: `due ${at}`, sendAt: new Date(at).toISOString() } }
  })
  const refusedToo = await post(timely)
  await sleep(begin + 1_000 * runOptions.seconds + 1_000 - Date.now())
  const delays = (await stub.get('/delays')) as number[] // as the stub has it
  await program.stop()
  return {
    numbers: { p99: percentile(delays, 0.99), p50: percentile(delays, 0.5) },
    mistakes: [
      ...(refused + refusedToo > 0 ? [`${refused + refusedToo} sends were not queued`] : []),
      ...(delays.length !== count ? [`${delays.length} of ${count} sends left once`] : []),
    ],
  }
}
