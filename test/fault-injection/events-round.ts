import { setTimeout as sleep } from 'node:timers/promises'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { keys } from './configuration.ts'
import { type Consumer, startConsumer } from './consumer.ts'
import { disturbEvents, eventOrder } from './event-disturbances.ts'
import { brokenEvents, missingOf, type SendRow } from './event-invariants.ts'
import { channel, write } from './event-writers.ts'
import type { GatewayProcess } from './gateway-process.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import type { Tally } from './round.ts'
import { seeded } from './scenarios.ts'
import { openSetup } from './setup.ts'

type Options = {
  seed: number
  disturbances?: number
  /** How long a receiver answers 500. */
  downMs?: number
  replicas?: boolean
}

const settleMs = 240_000
const headers = { authorization: `Bearer ${keys.shop}` }

/** Customers and callers write while processes are killed and frozen, a consumer is cut off and resumes, and receivers fail in every way. */
export async function runEventsRound({ seed, disturbances = 4, downMs = 10_000, replicas = false }: Options): Promise<Tally> {
  const random = seeded(seed)
  const prefix = `t${seed}-`
  const tally: Tally = { seed, work: {}, answers: {}, states: {}, disturbances: {}, usage: undefined, broken: [] }
  const count = (of: Record<string, number>, name: string, more = 1) => {
    of[name] = (of[name] ?? 0) + more
  }
  const countWork = (name: string) => count(tally.work, name)
  const sandbox = await startSandbox()
  const receivers = await startReceivers(prefix, downMs, random, name => count(tally.answers, name))
  const setup = await openSetup({ replicas, webhooks: receivers.webhooks })
  for (const proxy of setup.proxies) proxy.leadTo(Number(new URL(sandbox.url).port))
  const consumer = startConsumer(setup.gateways, random)
  const { gateways, witness } = setup
  const kinds = eventOrder[replicas ? 'replicas' : 'single']
  let isOver = false

  async function disturbAll() {
    for (let n = 0; n < disturbances; n++) {
      await sleep(3_000)
      const kind = kinds[(seed * disturbances + n) % kinds.length] ?? 'kill -9'
      count(tally.disturbances, kind)
      const broken = await disturbEvents(kind, setup, random)
      tally.broken.push(...broken)
      if (kind.startsWith('poller') && broken.length === 0) countWork('takeovers')
    }
    await sleep(2_000)
    isOver = true
  }

  try {
    await baseline(sandbox, consumer, receivers)
    receivers.begin()
    await Promise.all([write({ sandbox, gateways, prefix, random, count: countWork, isOver: () => isOver }), disturbAll()])
    receivers.end()
    for (const gateway of gateways) gateway.signal('SIGHUP') // ends what a 410 has disabled
    const written = sandbox.messages().filter(({ destination }) => destination.startsWith(prefix))
    const { failed, sends } = await quiet(witness, written, consumer, receivers)
    tally.broken.push(...brokenEvents({ written, sent: sandbox.sent, seen: consumer.seen, sends, receivers: receivers.all, failed }))
    for (const { state } of sends) count(tally.states, state)
    for (const state of ['canceled', 'expired']) count(tally.work, state, tally.states[state] ?? 0)
    count(tally.work, 'messages', written.length)
    count(tally.work, 'events', new Set(consumer.seen.map(({ id }) => id)).size)
    for (const { delivered } of receivers.all) count(tally.work, 'deliveries', delivered.size)
    for (const ids of failed.values()) count(tally.work, 'failed deliveries', ids.size)
  } catch (error) {
    tally.broken.push(`the round ends, not with ${error}`)
  } finally {
    await consumer.stop()
    await setup.close()
    await sandbox.close()
    await receivers.close()
  }
  return tally
}

/** The first look at a channel makes no events, and a new webhook starts with its first one: a customer writes until all have heard of it. */
async function baseline(sandbox: Sandbox, { seen }: Consumer, { all }: Receivers) {
  for (const until = Date.now() + settleMs; seen.length === 0 || all.some(({ delivered }) => delivered.size === 0); await sleep(500)) {
    if (Date.now() > until) throw new Error('no event was ever seen')
    sandbox.receive({ ...channel, destination: 'probe', message: 'Hello?' })
  }
  await sleep(2_000)
  seen.length = 0 // a webhook that began later has not missed the first ones
}

/** Waits until consumer and webhooks have everything, or never will; gives what webhooks have failed to deliver, and the sends of the round. */
async function quiet(gateway: GatewayProcess, written: readonly { messageid: string }[], { seen }: Consumer, { all }: Receivers) {
  const failed = new Map<string, Set<string>>()
  let sends: SendRow[] = []
  for (const until = Date.now() + settleMs; Date.now() < until; await sleep(1_000)) {
    for (const { name } of all)
      failed.set(name, new Set((await pages<{ eventId: string }>(gateway, failedOf(name))).map(row => row.eventId)))
    sends = await pages<SendRow>(gateway, '/sends?limit=100')
    const said = new Map(seen.flatMap(({ send }) => (send ? [[send.id, send.state] as const] : [])))
    const created = new Set(seen.map(({ messageId }) => messageId))
    const lacks = all.filter(receiver => missingOf(receiver, seen, failed).length > 0)
    const isQuiet =
      lacks.length === 0 &&
      written.every(({ messageid }) => created.has(messageid)) &&
      sends.every(({ id, state, sendAt }) => !['queued', 'pending'].includes(state) && (said.get(id) ?? (sendAt ? '' : state)) === state)
    if (isQuiet) break
    // A successful test ends a pause, which would be up to a minute otherwise.
    for (const { name } of lacks) await fetch(`${gateway.url()}/webhooks/${name}/test`, { method: 'POST', headers }).catch(() => {})
  }
  return { failed, sends }
}

const failedOf = (name: string) => `/webhooks/${name}/deliveries?state=failed&limit=100`

async function pages<T>(gateway: GatewayProcess, path: string): Promise<T[]> {
  const items: T[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const reply: Response | undefined = await fetch(`${gateway.url()}${path}${cursor && `&cursor=${cursor}`}`, { headers }).catch(
      () => undefined,
    )
    const page = (await reply?.json()) as { items?: T[]; nextCursor?: string } | undefined
    items.push(...(page?.items ?? []))
    cursor = page?.nextCursor
  }
  return items
}
