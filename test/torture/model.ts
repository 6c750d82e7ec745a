import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent } from 'undici'
import { freePort } from '../../bench/programs.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { startSandbox } from '../../src/sandbox/app.ts'
import { type Balancer, startBalancer } from '../deploy/balancer.ts'
import { startServer } from '../store/valkey/server.ts'
import { openDoor } from './door.ts'
import { faults, makePlans, type Plan, type Post, seeded } from './plans.ts'
import { createProcess, type Stop } from './process.ts'
import { brokenPromises, froze, type Row, timings } from './promises.ts'

/** What a round did and saw; `broken` lists each promise that did not hold, with the send that shows it. */
export type Tally = {
  seed: number
  sends: number
  posts: number
  answers: Record<string, number>
  states: Record<string, number>
  disturbances: Record<string, number>
  /** Of the gateway that lives on, at rest. */
  usage: { rssMb: number; handles: number } | undefined
  broken: string[]
}

export type RoundOptions = { seed: number; sends: number; concurrency?: number; disturbances?: number }

const key = 'fake_torture_key_0123456789abcdef'
const disturbances = ['kill -9', 'SIGTERM', 'freezes', 'kill -9', 'refuses'] as const
const disturbancesOfReplicas = ['kill -9', 'store dies', 'SIGTERM', 'store freezes', 'kill -9', 'freezes', 'refuses'] as const

export type Stage = Awaited<ReturnType<typeof openStage>>

/**
 * Two real gateways on one ledger, each behind a door of its own: the first is killed and stopped at will, the second lives on.
 *
 * As `replicas` they have their ledger on a Valkey server, which dies and freezes too, and callers reach them through a load balancer.
 */
export async function openStage({ replicas = false } = {}) {
  const server = replicas ? await startServer() : undefined
  const storeStops: Stop[] = []
  const folder = await mkdtemp(join(tmpdir(), 'gateway-torture-'))
  const doors = [await openDoor(), await openDoor()] as const
  const ports = replicas ? [await freePort(), await freePort()] : [0, 0]
  const gateways = doors.map(({ port }, i) =>
    createProcess({
      PORT: String(ports[i]),
      ADMIN_PORT: '0',
      AFILNET_USER: 'demo@sandbox.invalid',
      AFILNET_PASSWORD: 'fake-sandbox-password',
      AFILNET_URL: `http://127.0.0.1:${port}/api/http/`,
      AFILNET_TIMEOUT_MS: String(timings.timeoutMs),
      AFILNET_LATE_MS: String(timings.lateMs),
      GATEWAY_KEY_SHA256: hash('sha256', key),
      STORE_URL: server?.url() ?? `sqlite:${join(folder, 'ledger.sqlite')}`,
      STORE_MAX_MB: '100000',
      LOG_LEVEL: 'info',
      MALLOC_ARENA_MAX: '2',
      NODE_OPTIONS: '--max-old-space-size=128', // else the heap grows as it likes, and a leak looks the same
    }),
  ) as [ReturnType<typeof createProcess>, ReturnType<typeof createProcess>] // as many as doors
  const [victim, witness] = gateways
  let balancer: Balancer | undefined
  try {
    await Promise.all([victim.start(), witness.start()])
    if (replicas) balancer = await startBalancer(ports)
  } catch (error) {
    await close()
    throw error
  }

  async function close() {
    for (const gateway of gateways) await gateway.stop('SIGKILL')
    for (const door of doors) await door.close()
    await balancer?.close()
    await server?.end()
    await rm(folder, { recursive: true, force: true })
  }

  /** Sends at random, breaks what can break, and holds what everyone saw against what Afilnet took. */
  async function play({ seed, sends, concurrency = 32, disturbances: troubles = 10 }: RoundOptions): Promise<Tally> {
    const random = seeded(seed)
    let nth = seed // of the disturbances
    const plans = makePlans(seed, sends, random)
    const tally: Tally = { seed, sends, posts: 0, answers: {}, states: {}, disturbances: {}, usage: undefined, broken: [] }
    const count = (of: Record<string, number>, name: string) => {
      of[name] = (of[name] ?? 0) + 1
    }
    const sandbox = await startSandbox()
    for (const door of doors) door.leadsTo(Number(new URL(sandbox.url).port))
    const client = new Agent({ connections: concurrency * 2, headersTimeout: 30_000, bodyTimeout: 30_000 })
    try {
      let next = 0
      let disturbing = Promise.resolve()
      const every = Math.ceil(sends / (troubles + 1))
      const worker = async () => {
        for (let i = next++; i < plans.length; i = next++) {
          if (i > 0 && i % every === 0) disturbing = disturbing.then(disturb)
          await live(plans[i] as Plan) // i is in range
        }
      }
      await Promise.all(Array.from({ length: concurrency }, worker))
      await disturbing
      await quiet()
      await each(
        plans.filter(({ keyed }) => keyed),
        plan => post(plan, false),
      )
      await quiet()
      noticeStalls()
      await judge()
    } catch (error) {
      tally.broken.push(`the round ends, not with ${error}`)
    } finally {
      await client.destroy()
      await sandbox.close()
    }
    tally.usage = witness.usage()
    for (const { complaints } of gateways)
      for (const { at, line } of complaints.splice(0))
        if (![...victim.stops, ...storeStops].some(stop => froze(stop, at, at)))
          tally.broken.push(`a sound process does not complain: ${line}`)
    return tally

    async function each(some: Plan[], work: (plan: Plan) => Promise<unknown>) {
      const left = some.values()
      await Promise.all(
        Array.from({ length: concurrency }, async () => {
          for (const plan of left) await work(plan)
        }),
      )
    }

    async function live(plan: Plan) {
      const { answer } = faults[plan.fault]
      if (Object.keys(answer).length > 0) sandbox.answer({ ...answer, destination: plan.destination })
      if (plan.kind === 'files') welcome(sandbox, plan)
      const again = Array.from({ length: plan.keyed ? plan.repeats : 0 })
      if (plan.parallel) return void (await Promise.all([ask(plan, plan.hangUp), ...again.map(() => ask(plan, false))]))
      await ask(plan, plan.hangUp)
      for (const _ of again) await ask(plan, random() < 0.1)
    }

    /** Posts, and waits out a breaker or a closed door as a good caller does: else the seed would be spent on those. */
    async function ask(plan: Plan, hungUp: boolean) {
      for (let waits = 0; waits < 40; waits++) {
        const { told } = await post(plan, hungUp)
        if (!['upstream-circuit-open', 'upstream-unreachable', 'store-unavailable'].includes(String(told?.json.code))) return
        await sleep(200)
      }
    }

    async function disturb() {
      const kinds = replicas ? disturbancesOfReplicas : disturbances
      const kind = kinds[nth++ % kinds.length] ?? 'kill -9'
      count(tally.disturbances, kind)
      if (kind === 'refuses') return doors[random() < 0.5 ? 0 : 1].shut(150)
      await doors[0].passed() // in the middle of a send
      if (kind === 'store dies' || kind === 'store freezes') return troubleStore(kind)
      if (kind === 'freezes') return victim.freeze(1_000)
      if (kind === 'SIGTERM') {
        const { code, ms } = await victim.stop('SIGTERM')
        if (code !== 0 || ms > 15_000) tally.broken.push(`SIGTERM ends with 0 within 15 s, not with ${code} after ${ms} ms`)
      } else {
        if (random() < 0.5) await sleep(random() * 40)
        await victim.stop('SIGKILL')
      }
      await victim.start()
    }

    /** On a busy machine the store may be silent for too long by itself; what follows from that is no fault of a gateway. */
    function noticeStalls() {
      for (const { at, line } of gateways.flatMap(({ complaints }) => complaints)) {
        if (!server || !/"fault":"(busy|away)"/.test(line) || storeStops.some(stop => froze(stop, at, at))) continue
        count(tally.disturbances, 'store stalls')
        storeStops.push({ signal: 'SIGSTOP', at: at - 1_000, upAgainAt: at + 1_000 })
      }
    }

    async function troubleStore(kind: 'store dies' | 'store freezes') {
      const at = Date.now()
      if (kind === 'store dies') await server?.kill()
      else server?.stop()
      await sleep(700)
      if (kind === 'store dies') await server?.restart()
      else server?.go()
      storeStops.push({ signal: 'SIGSTOP', at, upAgainAt: Date.now() })
    }

    async function post(plan: Plan, hungUp: boolean): Promise<Post> {
      const { destination, keyed, kind } = plan
      const chosen = !balancer && (victim.url() === '' || random() >= 0.6) ? 1 : 0 // of requests that nobody answers, only the victim can be to blame
      const record: Post = { gateway: chosen, startedAt: Date.now(), endedAt: 0, hungUp }
      plan.posts.push(record)
      tally.posts++
      const abort = new AbortController()
      const body = kind === 'messages' ? { message: destination } : { type: 'image', fileUrl: `https://example.com/${destination}.jpg` }
      const request = client.request({
        origin: balancer?.url ?? gateways[chosen].url(),
        path: `/chats/telegram/200/${destination}/${kind}`,
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...(keyed && { 'idempotency-key': destination }) },
        body: JSON.stringify(body),
        signal: abort.signal,
      })
      if (hungUp) setTimeout(() => abort.abort(), random() * 60)
      const told = await request
        .then(async ({ statusCode, headers, body }) => ({ status: statusCode, headers, text: await body.text() }))
        .catch(() => undefined)
      record.endedAt = Date.now()
      const servedBy = balancer && told?.headers['x-served-by']
      if (servedBy) record.gateway = String(servedBy).endsWith(`:${ports[1]}`) ? 1 : 0
      if (!told || (balancer && !servedBy)) {
        count(tally.answers, 'no answer')
        return record
      }
      const { status, headers, text } = told
      const json = JSON.parse(text)
      record.told = {
        status,
        text,
        json,
        replayed: headers['idempotency-replayed'] === 'true',
        retryAfter: headers['retry-after'] as string | undefined, // sent once
      }
      count(tally.answers, `${status} ${json.code ?? json.state}`)
      return record
    }

    async function list(query: string): Promise<{ items: Row[]; nextCursor?: string }> {
      const headers = { authorization: `Bearer ${key}` }
      const { body } = await client.request({ origin: witness.url(), path: `/sends?limit=100${query}`, method: 'GET', headers })
      return (await body.json()) as { items: Row[] } // the contract has it so
    }

    /** Waits until nothing is pending or late any more, or should not be. */
    async function quiet() {
      const until = Date.now() + timings.deathMs + 5_000
      await sleep(timings.timeoutMs + timings.lateMs + 200)
      while (Date.now() < until && (await list('&state=pending')).items.length > 0) await sleep(250)
    }

    async function ledger() {
      const rows: Row[] = []
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await list(cursor === '' ? '' : `&cursor=${cursor}`)
        const ours = page.items.filter(({ destination }) => destination.startsWith(`t${seed}-`))
        rows.push(...ours)
        cursor = ours.length === 0 ? undefined : page.nextCursor
      }
      return rows
    }

    async function judge() {
      const rows = Map.groupBy(await ledger(), ({ destination }) => destination)
      const taken = Map.groupBy(sandbox.sent, ({ destination }) => destination)
      const calls = Map.groupBy(sandbox.calls, ({ params }) => params.find(([name]) => name === 'destination')?.[1])
      for (const plan of plans) {
        const { destination } = plan
        const evidence = {
          rows: rows.get(destination) ?? [],
          taken: taken.get(destination)?.length ?? 0,
          calls: calls.get(destination) ?? [],
          stopsOf: (gateway: number) => gateways[gateway]?.stops ?? storeStops,
        }
        for (const { state } of evidence.rows) count(tally.states, state)
        const { rows: ledger, taken: times } = evidence
        for (const promise of brokenPromises(plan, evidence))
          tally.broken.push(`${promise}: ${JSON.stringify({ times, ledger, plan, stops: victim.stops.slice(-3) })}`)
      }
    }
  }

  /** Restarts one gateway after the other, each without a request in flight, while callers go on; what they were told, and what was taken. */
  async function roll() {
    const sandbox = await startSandbox()
    for (const door of doors) door.leadsTo(Number(new URL(sandbox.url).port))
    const client = new Agent({ pipelining: 0 }) // the balancer closes idle connections when it changes its mind
    const told: Record<string, number> = {}
    let rolling = true
    const caller = async (i: number) => {
      for (let n = 0; rolling; n++) {
        const send = n % 2 === 0
        const { statusCode, body } = await client.request({
          origin: String(balancer?.url),
          path: send ? `/chats/telegram/200/roll-${i}-${n}/messages` : '/channels',
          method: send ? 'POST' : 'GET',
          headers: { authorization: `Bearer ${key}`, ...(send && { 'content-type': 'application/json' }) },
          body: send ? '{"message":"Hello"}' : null,
        })
        await body.dump()
        told[`${send ? 'POST' : 'GET'} ${statusCode}`] = (told[`${send ? 'POST' : 'GET'} ${statusCode}`] ?? 0) + 1
      }
    }
    const callers = Promise.all(Array.from({ length: 8 }, (_, i) => caller(i)))
    for (const [i, gateway] of [...gateways, ...gateways].entries()) {
      await balancer?.takeOut([ports[i % 2] as number]) // as many as gateways
      await gateway.stop('SIGTERM')
      await gateway.start()
      await balancer?.takeOut([])
    }
    rolling = false
    await callers
    await client.destroy()
    await sandbox.close()
    return { told, taken: sandbox.sent.length }
  }

  return { play, roll, close }
}

/** A file needs a conversation to go to. */
function welcome(sandbox: Sandbox, { destination }: Plan) {
  sandbox.receive({ platform: 'telegram', platformid: '200', destination, message: 'Hello' })
}

/** One round on a stage of its own. */
export async function torture({ replicas, ...options }: RoundOptions & { replicas?: boolean }): Promise<Tally> {
  const stage = await openStage({ replicas })
  try {
    return await stage.play(options)
  } finally {
    await stage.close()
  }
}
