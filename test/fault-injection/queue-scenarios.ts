import type { ScriptedResponse as SandboxAnswer } from '../../src/sandbox/scripted-responses.ts'
import type { CallerName } from './configuration.ts'
import { pick, type Span } from './scenarios.ts'

/** A request about a queued send; without `status` its caller received no answer. */
export type QueueRequest = Span & { status?: number; json: Record<string, unknown> }

/** One send that waits, and everything that happens to it. */
export type QueuedScenario = {
  destination: string
  caller: CallerName
  keyed: boolean
  repeats: number
  plan: keyof typeof plans
  /** From the first post on: when each of several callers cancels it. */
  cancelAfterMs: number[]
  /** When it is due and when it is too late, once it was posted; 0 where it has no such time. */
  sendAt: number
  expiresAt: number
  posts: QueueRequest[]
  cancels: QueueRequest[]
  /** Cancels of a caller who did not make it. */
  foreignCancels: QueueRequest[]
}

const refusal = { status: 429, body: '' } as const

/**
 * When a send is due, when it is too late, and how Afilnet answers it. Times are in milliseconds from its first post on.
 *
 * Some are due when most have been posted, and some are refused for longer than they live.
 */
export const plans = {
  'at once': { weight: 25, answers: [] },
  'soon due': { weight: 25, dueMs: 2_500, answers: [] },
  'later due': { weight: 8, dueMs: 12_000, answers: [] },
  'due with an end': { weight: 10, dueMs: 3_000, livesMs: 8_000, answers: [] },
  'refused twice': { weight: 10, answers: [refusal, refusal] },
  'refused until it is too late': { weight: 8, livesMs: 2_500, answers: Array.from({ length: 20 }, () => refusal) },
  'refused for good': { weight: 4, answers: [{ body: '{"status":"ERROR","error":"CHANNEL_NOT_FOUND"}' }] },
  'out of credit': { weight: 3, answers: [{ body: '{"status":"ERROR","error":"NO_CREDITS"}' }] },
  'dropped after it is taken': { weight: 3, answers: [{ fault: 'drop' }] },
  late: { weight: 2, answers: [{ delayMs: 600 }] },
  slow: { weight: 2, dueMs: 1_000, answers: [{ delayMs: 150 }] },
} as const satisfies Record<string, { weight: number; dueMs?: number; livesMs?: number; answers: readonly SandboxAnswer[] }>

export type Plan = { dueMs?: number; livesMs?: number; answers: readonly SandboxAnswer[] }

/** The queued sends of a seed, the same each time. */
export function makeQueuedScenarios(seed: number, sends: number, random: () => number): QueuedScenario[] {
  return Array.from({ length: sends }, (_, i) => ({
    destination: `t${seed}-q${i}`,
    caller: random() < 0.5 ? 'shop' : 'clerk',
    keyed: random() < 0.85,
    repeats: Math.floor(random() * 3),
    plan: pick(plans, random),
    // Some at the time when it is due, which is when it matters who comes first
    cancelAfterMs: random() < 0.35 ? Array.from({ length: 1 + Math.floor(random() * 3) }, () => random() * 3_000) : [],
    sendAt: 0,
    expiresAt: 0,
    posts: [],
    cancels: [],
    foreignCancels: [],
  }))
}
