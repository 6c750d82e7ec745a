import type { LoggedEvent } from '../store/event-log.ts'

/** A webhook as the configuration has it. */
export type WebhookConfig = {
  url: URL
  /** Each signs every event: the receiver needs to know one of them. */
  secrets: readonly string[]
  account: string
  /** Without it, events of every type. */
  types?: readonly string[]
  /** Patterns; without them, every chat. */
  chats?: readonly string[]
}

/** What the room needs of the live events. */
export type EventReader = {
  /** The id of an event, which is its cursor too; a gap that was made for one webhook has an id of its own. */
  idOf(account: string, identity: string, position: number, isMade: boolean): string
  /** Where a cursor points; nothing for one that is malformed or of another account. */
  readCursor(account: string, cursor: string): { identity: string; position: number } | undefined
  /** The Event as JSON in one line, with its text, if the webhook may see that, as Afilnet has it since `learntAt` (monotonic); rejects while Afilnet cannot be read. */
  render(webhook: Pick<WebhookConfig, 'account' | 'chats'>, id: string, event: LoggedEvent, learntAt: number): Promise<string>
}

/** Time, so that tests need not wait for it. */
export type Clock = {
  now(): number
  /** Never jumps. */
  monotonic(): number
  /** Runs something later; returns how to prevent it. */
  after(ms: number, run: () => void): () => void
  /** From 0 to 1. */
  random(): number
}

export const realClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  random: Math.random,
}
