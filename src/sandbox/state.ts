import { createRedactor, fakePassword } from './redaction.ts'
import type { Param, Transport } from './request.ts'
import { plainShape, type Shape } from './response-format.ts'
import { type Answer, assertHeaders } from './scripted-responses.ts'
import { createWatchers } from './watchers.ts'
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

export type StateOptions = { password?: string; replyAfterMs?: number; now?: () => number }

export type State = ReturnType<typeof createState>

/** Older calls are forgotten in batches, so that a sandbox can run for days. */
const keepCalls = 100_000

/** All that the sandbox knows: the world, the calls, and how it answers. */
export function createState({ password = fakePassword, replyAfterMs = 0, now = Date.now }: StateOptions = {}) {
  const world = createWorld(now, sent => sent.method === 'sendmessage' && state.awaitReply(sent))
  const calls: Call[] = []
  const queue: { answer: Answer; left: number }[] = []
  const replies = new Set<NodeJS.Timeout>()
  let lastId = 0

  const state = {
    user: 'demo@sandbox.invalid',
    password,
    world,
    calls,
    now,
    redactor: createRedactor(password),
    shape: { ...plainShape } as Shape, // a copy, and as wide as the type
    latencyMs: 0,
    ...createWatchers(),

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
      state.changed()
      return received
    },

    /** Lets the customer answer after a while. */
    awaitReply: ({ platform, platformid, destination }: Address) => {
      if (replyAfterMs <= 0) return
      const timer = setTimeout(() => {
        replies.delete(timer)
        state.receive({ platform, platformid, destination, message: 'Thanks, I got your message!' })
      }, replyAfterMs)
      replies.add(timer.unref())
    },

    stopReplies: () => {
      for (const timer of replies) clearTimeout(timer)
      replies.clear()
    },

    reset: () => {
      state.stopReplies()
      world.reset()
      calls.length = 0
      queue.length = 0
      lastId = 0
      state.shape = { ...plainShape }
      state.latencyMs = 0
    },
  }
  return state
}
