import type { ServerResponse } from 'node:http'
import { type Post, startReceiver } from '../webhooks/receiver.ts'
import type { Webhooks } from './configuration.ts'
import type { Event } from './consumer.ts'

type Answer = number | ((response: ServerResponse, post: Post) => void)

/** What a receiver knows when it answers. */
type Situation = {
  post: Post
  random: () => number
  /** Since the receivers began to fail. */
  ms: number
  downMs: number
  /** How many posts it has answered with something else than success. */
  failures: number
  refused: Set<string>
  /** Adds the post to what was delivered. */
  deliver: () => void
}

type Behaviour = { types?: string[]; chats?: (prefix: string) => string[]; fails: (situation: Situation) => Answer | undefined }

/** The gateway waits for ten seconds. One that is late itself by another second reads the answer, and may count it. */
const lateMs = 11_000
function answerLate(response: ServerResponse, deliver: () => void) {
  setTimeout(() => {
    if (!response.destroyed) deliver()
    response.writeHead(200).end()
  }, lateMs)
}

/** Five events that are refused in a row are an endpoint that is down: with fewer that are refused for ever, it gets up again. */
const mostRefused = 3

/** How the receivers of a round fail, by the name of their webhook; each gets what its filter lets pass. */
const behaviours: Record<string, Behaviour> = {
  sound: { fails: () => undefined },
  hangs: { types: ['message.created'], fails: ({ random }) => (random() < 0.02 ? () => {} : undefined) },
  resets: { fails: ({ random }) => (random() < 0.04 ? response => response.socket?.resetAndDestroy() : undefined) },
  late: {
    types: ['message.created', 'send.updated'],
    fails: ({ random, deliver }) => (random() < 0.02 ? response => answerLate(response, deliver) : undefined),
  },
  down: { fails: ({ ms, downMs }) => (ms > 3_000 && ms < 3_000 + downMs ? 500 : undefined) },
  refuses: {
    types: ['message.created'],
    fails({ post: { id }, random, refused }) {
      if (refused.size < mostRefused && random() < 0.05) refused.add(id)
      return refused.has(id) ? 400 : undefined
    },
  },
  gone: {
    chats: prefix => ['telegram/200/probe', `telegram/200/${prefix}1*`, `telegram/200/${prefix}2*`],
    fails: ({ ms, failures }) => (ms > 6_000 && failures < 1 ? 410 : undefined),
  },
}

export type Receivers = Awaited<ReturnType<typeof startReceivers>>

/** A receiver for each behaviour. They are sound until `begin`, and again after `end`. */
export async function startReceivers(prefix: string, downMs: number, random: () => number, count: (name: string) => void) {
  let beganAt = Number.POSITIVE_INFINITY
  const open = Object.entries(behaviours).map(async ([name, { types, chats, fails }]) => {
    const receiver = await startReceiver()
    const delivered = new Set<string>()
    const refused = new Set<string>()
    let failures = 0
    receiver.answer = post => {
      const deliver = () => delivered.add(post.id)
      const ms = Date.now() - beganAt
      // What is refused for ever is so after the end, too: it is for the webhook to give up.
      const answer = ms >= 0 ? fails({ post, random, ms, downMs, failures, refused, deliver }) : refused.has(post.id) ? 400 : undefined
      count(answer === undefined ? '204' : typeof answer === 'number' ? String(answer) : name)
      if (answer !== undefined) failures++
      else deliver()
      return answer ?? 204
    }
    const filter = { ...(types && { types }), ...(chats && { chats: chats(prefix) }) }
    return { name, receiver, delivered, webhook: { url: receiver.url, ...filter } }
  })
  const all = await Promise.all(open)

  return {
    all: all.map(({ name, receiver, delivered }) => ({
      name,
      delivered,
      /** The events in the order in which they first came. */
      seen: () => [...new Set(receiver.posts.map(({ id }) => id))],
      /** What the webhook has missed, it says with these. */
      gaps: () => receiver.posts.filter(({ event }) => event.reason === 'retention' || event.reason === 'log-replaced').length,
      wants({ type, destination }: Event) {
        const { types, chats } = behaviours[name] ?? {}
        const patterns = chats?.(prefix).map(pattern => pattern.split('/')[2]?.replace('*', '') ?? '')
        return (!types || type === 'gap' || types.includes(type)) && (!patterns || patterns.some(start => destination?.startsWith(start)))
      },
    })),
    webhooks: Object.fromEntries(all.map(({ name, webhook }) => [name, webhook])) satisfies Webhooks,
    begin() {
      beganAt = Date.now()
    },
    end() {
      beganAt = Number.POSITIVE_INFINITY
    },
    async close() {
      for (const { receiver } of all) await receiver.close()
    },
  }
}
