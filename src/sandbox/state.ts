import { createCensor, fakePassword } from './redaction.ts'
import type { Param, Transport } from './request.ts'
import { plainShape, type Shape } from './response-format.ts'
import { type Answer, assertHeaders } from './scripted-responses.ts'
import { type Address, createWorld } from './world.ts'

/** One call as it arrived, byte for byte but for passwords. */
export type Call = {
  id: number
  at: string
  httpMethod: string
  path: string
  transport: Transport
  contentType: string
  headers: Record<string, string>
  query: string
  body: string
  bodyBase64: string
  params: Param[]
  /** Missing while the call is open, and for good where a fault left it without a complete answer. */
  answer?: { status: number; body: string }
  /** The caller left before its answer was complete. */
  closedByPeer: boolean
}

export type DeskOptions = { password?: string; replyAfterMs?: number; now?: () => number }

export type Desk = ReturnType<typeof createDesk>

/** Older calls are forgotten in batches, so that a sandbox can run for days. */
const keepCalls = 100_000

/** All that the sandbox knows: the world, what came in, and how it was told to answer. */
export function createDesk({ password = fakePassword, replyAfterMs = 0, now = Date.now }: DeskOptions = {}) {
  const world = createWorld(now, sent => sent.method === 'sendmessage' && desk.awaitReply(sent))
  const calls: Call[] = []
  const queue: { answer: Answer; left: number }[] = []
  const replies = new Set<NodeJS.Timeout>()
  const watchers = new Set<() => void>()
  let lastId = 0

  const desk = {
    user: 'demo@sandbox.invalid',
    password,
    world,
    calls,
    now,
    censor: createCensor(password),
    shape: { ...plainShape } as Shape, // a copy, and as wide as the type
    latencyMs: 0,

    /** Tells those who wait that something happened. */
    changed: () => {
      for (const watcher of watchers) watcher()
    },

    /** Resolves as soon as `condition` holds after a call, an answer, a hang-up or a message; rejects with `what` when it takes too long. */
    until: (condition: () => boolean, what: () => string, timeoutMs = 5000) =>
      new Promise<void>((resolve, reject) => {
        const settle = (end: () => void) => {
          clearTimeout(timer)
          watchers.delete(watcher)
          end()
        }
        const watcher = () => condition() && settle(resolve)
        const timer = setTimeout(() => settle(() => reject(new Error(`${what()} within ${timeoutMs} ms`))), timeoutMs)
        watchers.add(watcher)
        watcher()
      }),

    record: (call: Omit<Call, 'id' | 'closedByPeer'>): Call => {
      const recorded = { id: ++lastId, ...call, closedByPeer: false }
      if (calls.length >= keepCalls) calls.splice(0, keepCalls / 10)
      calls.push(recorded)
      return recorded
    },

    queue: (answer: Answer) => {
      assertHeaders(answer.headers ?? {})
      queue.push({ answer, left: answer.times ?? 1 })
    },

    /** The first queued answer that is meant for this call, used up. */
    queued: (method: string | undefined, destination: string | undefined): Answer | undefined => {
      const meant = ({ answer }: { answer: Answer }) =>
        (answer.method ?? method) === method && (answer.destination ?? destination) === destination
      const index = queue.findIndex(meant)
      const entry = queue[index]
      if (entry && --entry.left <= 0) queue.splice(index, 1)
      return entry?.answer
    },

    receive: (message: Address & { message: string }) => {
      const received = world.receive(message)
      desk.changed()
      return received
    },

    /** Lets the customer answer after a while. */
    awaitReply: ({ platform, platformid, destination }: Address) => {
      if (replyAfterMs <= 0) return
      const timer = setTimeout(() => {
        replies.delete(timer)
        desk.receive({ platform, platformid, destination, message: 'Thanks, I got your message!' })
      }, replyAfterMs)
      replies.add(timer.unref())
    },

    stopReplies: () => {
      for (const timer of replies) clearTimeout(timer)
      replies.clear()
    },

    reset: () => {
      desk.stopReplies()
      world.reset()
      calls.length = 0
      queue.length = 0
      lastId = 0
      desk.shape = { ...plainShape }
      desk.latencyMs = 0
    },
  }
  return desk
}
