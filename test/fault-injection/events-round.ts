import { setTimeout as sleep } from 'node:timers/promises'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { secret, startReceiver } from '../webhooks/receiver.ts'
import type { GatewayProcess } from './gateway-process.ts'
import { seeded } from './scenarios.ts'
import { key, openSetup } from './setup.ts'

/** What a round of events did and saw; `broken` lists each invariant that did not hold, with the message that shows it. */
export type EventsTally = {
  seed: number
  messages: number
  events: number
  posts: Record<string, number>
  disturbances: Record<string, number>
  broken: string[]
}

type Event = { id: string; type: string; destination: string | null; messageId: string | null; send?: { id: string; state: string } }
type Receiver = Awaited<ReturnType<typeof startReceiver>>
type Options = { seed: number; seconds: number; replicas?: boolean }

const channel = { platform: 'telegram', platformid: '200' }
const settleMs = 90_000
const headers = { authorization: `Bearer ${key}` }

/** Customers and callers write while processes are killed and frozen, a consumer is killed and resumes, and a receiver fails in every way. */
export async function runEventsRound({ seed, seconds, replicas = false }: Options): Promise<EventsTally> {
  const random = seeded(seed)
  const tally: EventsTally = { seed, messages: 0, events: 0, posts: {}, disturbances: {}, broken: [] }
  const count = (of: Record<string, number>, name: string) => {
    of[name] = (of[name] ?? 0) + 1
  }
  const sandbox = await startSandbox()
  const receiver = await startReceiver()
  const faulty = { on: true }
  receiver.answer = ({ event }) => answerOf(event.messageId, faulty.on ? random() : 1, name => count(tally.posts, name))
  const more = { EVENTS_CHANNELS: 'telegram/200', EVENTS_INTERVAL_MS: '1000', WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: secret }
  const setup = await openSetup({ replicas, more })
  for (const proxy of setup.proxies) proxy.leadTo(Number(new URL(sandbox.url).port))
  const consumer = startConsumer(setup.gateways, random)
  try {
    await baseline(sandbox, consumer.seen)
    const until = Date.now() + seconds * 1_000
    await Promise.all([
      write(sandbox, setup.gateways, seed, until, random),
      disturb(setup.gateways, until, random, name => count(tally.disturbances, name)),
    ])
    faulty.on = false
    const written = sandbox.messages().filter(({ destination }) => destination.startsWith(`${seed}-`))
    tally.messages = written.length
    const failed = await quiet(setup.witness, written, consumer.seen, receiver)
    tally.events = consumer.seen.length
    tally.broken = [...brokenInvariants(written, consumer.seen, receiver, failed), ...(await untrueSends(setup.witness, consumer.seen))]
  } catch (error) {
    tally.broken.push(`the round ends, not with ${error}`)
  } finally {
    await consumer.stop()
    await setup.close()
    await sandbox.close()
    await receiver.close()
  }
  return tally
}

/** One message in 150 is refused for ever (five at a time would be an endpoint that is down); of the others some posts hang, are reset or fail. */
function answerOf(messageId: string | null, chance: number, count: (name: string) => void): ReturnType<Receiver['answer']> {
  if (messageId !== null && Number(messageId) % 150 === 7) return counted('400', 400)
  if (chance < 0.01) return counted('hang', () => {})
  if (chance < 0.03) return counted('reset', response => response.socket?.resetAndDestroy())
  return chance < 0.05 ? counted('500', 500) : counted('204', 204)

  function counted<A>(name: string, answer: A): A {
    count(name)
    return answer
  }
}

/** A consumer that remembers its cursor only: it is cut off at random, and asks any gateway again. */
function startConsumer(gateways: readonly GatewayProcess[], random: () => number) {
  const seen: Event[] = []
  let stopped = false
  let cursor = ''
  async function run() {
    while (!stopped) {
      const gateway = gateways[random() < 0.5 ? 0 : 1]
      const abort = new AbortController()
      const timer = setTimeout(() => abort.abort(), random() < 0.2 ? 50 : 10_000)
      try {
        const query = `limit=200&wait=2${cursor && `&after=${cursor}`}`
        const reply = await fetch(`${gateway?.url()}/events?${query}`, { headers, signal: abort.signal })
        const page = (await reply.json()) as { items?: Event[]; nextCursor?: string }
        if (!page.items || page.nextCursor === undefined) await sleep(200)
        else {
          seen.push(...page.items)
          cursor = page.nextCursor
        }
      } catch {
        await sleep(100) // the gateway is gone, or the consumer was cut off
      } finally {
        clearTimeout(timer)
      }
    }
  }
  const running = run()
  return {
    seen,
    async stop() {
      stopped = true
      await running
    },
  }
}

/** The first look at a channel makes no events: a customer writes until one is heard. */
async function baseline(sandbox: Sandbox, seen: readonly Event[]) {
  for (const until = Date.now() + settleMs; seen.length === 0; await sleep(500)) {
    if (Date.now() > until) throw new Error('no event was ever seen')
    sandbox.receive({ ...channel, destination: 'probe', message: 'Hello?' })
  }
}

async function write(sandbox: Sandbox, gateways: readonly GatewayProcess[], seed: number, until: number, random: () => number) {
  for (let n = 0; Date.now() < until; n++) {
    const destination = `${seed}-${Math.floor(random() * 8)}`
    if (random() < 0.7) sandbox.receive({ ...channel, destination, message: `From the customer ${n}` })
    else {
      const url = `${gateways[random() < 0.5 ? 0 : 1]?.url()}/chats/telegram/200/${destination}/messages`
      const post = {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: `{"message":"To the customer ${n}"}`,
      }
      await fetch(url, post).catch(() => {}) // what became of it, the events say
    }
    await sleep(random() * 100)
  }
}

/** Whoever polls and delivers just now is among the two. */
async function disturb(gateways: readonly GatewayProcess[], until: number, random: () => number, count: (name: string) => void) {
  for (let nth = 0; Date.now() + 6_000 < until; nth++) {
    await sleep(3_000)
    const gateway = gateways[nth % 2]
    if (random() < 0.5) {
      count('kill -9')
      await gateway?.stop('SIGKILL')
      await gateway?.start()
    } else {
      count('freeze')
      await gateway?.freeze(random() < 0.5 ? 2_000 : 12_000)
    }
  }
}

/** Waits until consumer and webhook have everything, or never will; gives what the webhook has failed to deliver. */
async function quiet(
  gateway: GatewayProcess,
  written: { messageid: string }[],
  seen: readonly Event[],
  { taken }: Receiver,
): Promise<Set<string>> {
  let failed = new Set<string>()
  for (const until = Date.now() + settleMs; Date.now() < until; await sleep(500)) {
    failed = await failedMessages(gateway, seen)
    const consumed = new Set(seen.map(({ messageId }) => messageId))
    const delivered = new Set(taken)
    const isMissing = ({ messageid: id }: { messageid: string }) => !consumed.has(id) || !(delivered.has(id) || failed.has(id))
    if (!written.some(isMissing)) break
  }
  return failed
}

async function failedMessages(gateway: GatewayProcess, seen: readonly Event[]): Promise<Set<string>> {
  const byId = new Map(seen.map(({ id, messageId }) => [id, messageId ?? '']))
  const found = new Set<string>()
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const path = `/webhooks/default/deliveries?state=failed&limit=100${cursor && `&cursor=${cursor}`}`
    const reply = await fetch(gateway.url() + path, { headers }).catch(() => undefined)
    const page = (await reply?.json()) as { items?: { eventId: string }[]; nextCursor?: string } | undefined
    for (const { eventId } of page?.items ?? []) found.add(byId.get(eventId) ?? '')
    cursor = page?.nextCursor
  }
  return found
}

/** Every invariant that did not hold. */
function brokenInvariants(
  written: { messageid: string; destination: string }[],
  seen: readonly Event[],
  { posts, taken }: Receiver,
  failed: ReadonlySet<string>,
): string[] {
  const broken: string[] = []
  const created = Map.groupBy(
    seen.filter(({ type }) => type === 'message.created'),
    ({ messageId }) => messageId,
  )
  for (const { messageid: id } of written) {
    const ids = new Set((created.get(id) ?? []).map(event => event.id))
    if (ids.size === 0) broken.push(`a message is an event: ${id} is missing`)
    if (ids.size > 1) broken.push(`a message is one event: ${id} is ${[...ids]}`)
    if (!taken.includes(id) && !failed.has(id)) broken.push(`an event is delivered or has failed: ${id}`)
  }
  const firsts = (ids: readonly (string | null)[]) => [...new Set(ids)]
  const ofWebhook = posts.filter(({ event }) => event.type === 'message.created').map(({ event }) => event.messageId)
  for (const [name, ids] of [
    ['consumer', [...created.keys()]],
    ['webhook', firsts(ofWebhook)],
  ] as const) {
    for (const [destination, rows] of Map.groupBy(written, row => row.destination)) {
      const expected = rows.map(row => row.messageid)
      const found = ids.filter(id => id !== null && expected.includes(id))
      if (found.join() !== expected.join())
        broken.push(`a conversation is in order: ${destination} of the ${name}: ${found} instead of ${expected}`)
    }
  }
  return broken
}

/** The last event of a send says what the ledger says. */
async function untrueSends(gateway: GatewayProcess, seen: readonly Event[]): Promise<string[]> {
  const last = new Map(seen.flatMap(({ send }) => (send ? [[send.id, send.state] as const] : [])))
  const broken: string[] = []
  for (const [id, state] of last) {
    const send = (await (await fetch(`${gateway.url()}/sends/${id}`, { headers })).json()) as { state: string }
    if (send.state !== state) broken.push(`an event of a send is true: ${id} is ${send.state}, not ${state}`)
  }
  return broken
}
