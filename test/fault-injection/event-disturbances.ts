import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GatewayProcess } from './gateway-process.ts'
import type { Setup } from './setup.ts'

/** Breaks something, waits, and repairs it; resolves with each invariant that did not hold meanwhile. */
type Disturb = (setup: Setup, random: () => number) => Promise<string[]>

/** The promise is 15 s; a busy machine gets as much again. */
const takeoverMs = 30_000

/** What hits the process that polls Afilnet for events, and what hits all of it. */
const kinds = {
  async 'poller is killed'({ gateways }) {
    const [poller, other] = await roles(gateways)
    const at = Date.now()
    await poller.stop('SIGKILL')
    const broken = await takesOver(other, at)
    await poller.start()
    return broken
  },

  /** The frozen process resumes after another one has taken over, and has yet to learn that its lease is lost. */
  async 'poller is frozen'({ gateways, storeUrl }) {
    const [poller, other] = await roles(gateways)
    await freezeBetweenWrites(poller, storeUrl)
    const at = Date.now()
    const broken = await takesOver(other, at)
    poller.signal('SIGCONT')
    return broken
  },

  async 'kill -9'({ gateways }, random) {
    const gateway = gateways[random() < 0.5 ? 0 : 1]
    await gateway.stop('SIGKILL')
    await gateway.start()
    return []
  },

  async 'short freeze'({ gateways }, random) {
    await gateways[random() < 0.5 ? 0 : 1].freeze(2_000)
    return []
  },

  async 'Afilnet is away'({ proxies }) {
    await Promise.all(proxies.map(proxy => proxy.refuse(3_000)))
    return []
  },

  async SIGHUP({ gateways }) {
    for (const gateway of gateways) gateway.signal('SIGHUP')
    return []
  },

  async 'store dies'({ server }) {
    await server?.kill()
    await sleep(700)
    await server?.restart()
    return []
  },

  async 'store freezes'({ server }, random) {
    server?.stop()
    await sleep(random() < 0.5 ? 700 : 6_000)
    server?.go()
    return []
  },
} as const satisfies Record<string, Disturb>

export type EventKind = keyof typeof kinds

const both = ['poller is killed', 'kill -9', 'poller is frozen', 'short freeze', 'Afilnet is away', 'SIGHUP'] as const

/** In which order a run goes through them. */
export const eventOrder: Record<'single' | 'replicas', readonly EventKind[]> = {
  single: both,
  replicas: ['store dies', ...both, 'store freezes'],
}

export const disturbEvents = (kind: EventKind, setup: Setup, random: () => number): Promise<string[]> => {
  const run: Disturb = kinds[kind]
  return run(setup, random)
}

/** The process that polls, and the other one: of two that believe it, the one that began later is right. */
async function roles([first, second]: readonly [GatewayProcess, GatewayProcess]) {
  for (const until = Date.now() + takeoverMs; first.pollsSince() + second.pollsSince() === 0; await sleep(100))
    if (Date.now() > until) throw new Error('no process polls')
  return first.pollsSince() > second.pollsSince() ? ([first, second] as const) : ([second, first] as const)
}

/** A process that is frozen in the middle of a write keeps a SQLite file locked, and no other can write, not even to take a lease. */
async function freezeBetweenWrites(gateway: GatewayProcess, storeUrl: string) {
  for (;;) {
    gateway.signal('SIGSTOP')
    if (!storeUrl.startsWith('sqlite:') || isUnlocked(storeUrl.slice('sqlite:'.length))) return
    gateway.signal('SIGCONT')
    await sleep(20)
  }
}

function isUnlocked(path: string) {
  const file = new DatabaseSync(path, { timeout: 2_000 }) // a write of the other process has ended by then
  try {
    file.exec('BEGIN IMMEDIATE; ROLLBACK')
    return true
  } catch {
    return false
  } finally {
    file.close()
  }
}

async function takesOver(other: GatewayProcess, at: number): Promise<string[]> {
  for (; Date.now() < at + takeoverMs; await sleep(50)) if (other.pollsSince() >= at) return []
  return [`another process polls 15 s after the one that did has gone, not never in ${takeoverMs} ms`]
}
