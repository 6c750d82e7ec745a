import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { request } from 'undici'
import type { Case, Outcome, Setup } from './case.ts'
import { channels, suddenEvents } from './conversations.ts'
import { key } from './endpoint.ts'
import { webhookSecret } from './targets.ts'

const patienceMs = 60_000
const verifyEach = 50

/** Events of a log in memory whose texts are in memory too, delivered again and again. */
export const webhooks: Case = {
  title: 'Webhooks delivered to a receiver on this machine, 8 in flight',
  asks: [],
  targets: ['gateway'],
  figures: {
    perSecond: { title: '', unit: '/s', goal: { atLeast: 1_500 } },
    cpu: { title: 'processor time of each', unit: 'µs' },
  },
  warm: async () => {},
  measure,
}

async function measure({ restart, stub, runOptions }: Setup): Promise<Outcome> {
  await stub.get('/end') // of the round before
  const receiver = await startReceiver()
  const channel = channels.sudden
  const before = (await stub.counts()).polls[channel] ?? 0
  const { endpoint, program } = await restart({
    features: { channels: [`whatsapp/${channel}`], webhook: receiver.url, env: { STORE_URL: 'sqlite::memory:' } },
  })
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const until = async (isThere: () => boolean | Promise<boolean>) => {
    for (const giveUpAt = Date.now() + patienceMs; !(await isThere()); await sleep(20))
      if (Date.now() > giveUpAt) throw new Error(`only ${receiver.ids.size} events were delivered`)
  }
  try {
    await until(async () => ((await stub.counts()).polls[channel] ?? 0) >= before + 2)
    await stub.get('/begin')
    await until(() => receiver.ids.size === suddenEvents)
    const { body } = await request(new URL('/events?limit=1', endpoint.url), { headers })
    const { nextCursor: after } = (await body.json()) as { nextCursor: string } // as the API document says
    let [deliveries, ms, cpuSeconds] = [0, 0, 0]
    while (ms < 1_000 * runOptions.seconds) {
      receiver.forget()
      const cpuBefore = program.cpuSeconds()
      const redrive = new URL('/webhooks/bench/redrive', endpoint.url)
      const { statusCode } = await request(redrive, { method: 'POST', headers, body: JSON.stringify({ after }) })
      if (statusCode !== 202) throw new Error(`the redrive was answered with ${statusCode}`)
      await until(() => receiver.ids.size === suddenEvents - 1)
      cpuSeconds += program.cpuSeconds() - cpuBefore
      deliveries += suddenEvents - 1
      ms += receiver.ms()
    }
    return {
      numbers: { perSecond: (1_000 * deliveries) / ms, cpu: (1e6 * cpuSeconds) / deliveries, busy: 1 },
      mistakes: receiver.wrong() > 0 ? [`${receiver.wrong()} signatures were wrong`] : [],
    }
  } finally {
    await program.stop()
    receiver.close()
  }
}

/** Takes everything, and verifies some of it. */
async function startReceiver() {
  const webhook = new Webhook(webhookSecret)
  const ids = new Set<string>()
  let [firstAt, lastAt, wrong] = [0, 0, 0]
  const server = createServer(async (request, response) => {
    const body = await text(request)
    ids.add(String(request.headers['webhook-id']))
    if (ids.size === 1) firstAt = performance.now()
    if (ids.size % verifyEach === 0 && !isSigned(body, request.headers as Record<string, string>)) wrong++
    response.writeHead(204).end()
    lastAt = performance.now()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on a port

  function isSigned(body: string, headers: Record<string, string>) {
    try {
      webhook.verify(body, headers)
      return true
    } catch {
      return false
    }
  }

  return {
    url: `http://127.0.0.1:${port}/events`,
    ids,
    ms: () => lastAt - firstAt,
    wrong: () => wrong,
    forget: () => ids.clear(),
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
