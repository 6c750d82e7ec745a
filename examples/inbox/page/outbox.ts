import { type Chat, type Client, type components, GatewayProblem } from '../../../client/src/client.ts'

type Send = components['schemas']['Send'] & { messageId?: string; delivery?: { status: string } }

/** What is known of a message that this page sends. `waiting`: the gateway cannot be reached, and the page tries again with the same key. */
export type Outgoing = {
  key: string
  text: string
  file?: File
  /** The messages that were listed before: none of them is this one. */
  before: ReadonlySet<string>
  state: 'sending' | 'waiting' | 'accepted' | 'rejected' | 'not_sent' | 'unknown'
  send?: Send
  reason?: string
  /** An earlier try may have sent it. */
  inDoubt?: boolean
}

const unreachable = new Set(['gateway-unreachable', 'unreadable-answer', 'draining', 'unauthenticated'])

/** A page cannot read the 413 of a proxy, which allows no origin: it looks like a lost connection. */
const notThrough = 'It does not get through; it may be too large for a proxy'

/** Sends one message after the other, each with one key for all its tries. */
export function createOutbox(chat: Chat, gateway: () => Promise<Client>, onChange: (changed: Outgoing) => void) {
  const all: Outgoing[] = []
  let turn = Promise.resolve()
  let goOn = () => {}

  const change = (outgoing: Outgoing, news: Partial<Outgoing>) => onChange(Object.assign(outgoing, news))

  async function attempt(outgoing: Outgoing) {
    const { key, text, file } = outgoing
    change(outgoing, { state: 'sending' })
    try {
      await file?.slice(0, 1).arrayBuffer() // a file that has gone looks like a lost connection to `fetch`
      const content = file ? { file, ...(text && { message: text }) } : { message: text }
      const send = await (await gateway()).send(chat, content, { idempotencyKey: key, attempts: 2 })
      change(outgoing, { state: send.state === 'pending' ? 'unknown' : (send.state as Outgoing['state']), send })
    } catch (error) {
      change(outgoing, outcomeOf(error, outgoing.inDoubt))
    }
  }

  const isReachable = () =>
    gateway()
      .then(client => client.get('/me'))
      .then(
        () => true,
        () => false,
      )

  /** What waits for the connection keeps its turn: a message must not overtake one that was written before it. */
  async function attemptUntilAnswered(outgoing: Outgoing) {
    await attempt(outgoing)
    for (let tries = 1; outgoing.state === 'waiting'; tries++) {
      if (outgoing.file && tries > 1 && (await isReachable())) return change(outgoing, { state: 'unknown', reason: notThrough })
      for (const next of all) if (next.state === 'sending') change(next, { state: 'waiting' })
      await new Promise<void>(resolve => {
        goOn = resolve
        setTimeout(resolve, 3_000)
      })
      if (outgoing.state === 'waiting') await attempt(outgoing)
    }
  }

  const queue = (outgoing: Outgoing) => {
    turn = turn.then(() => attemptUntilAnswered(outgoing))
    return turn
  }

  return {
    all,
    add(text: string, file: File | undefined, before: ReadonlySet<string>) {
      const state = all.some(other => other.state === 'waiting') ? 'waiting' : 'sending'
      const outgoing: Outgoing = { key: newKey(), text, ...(file && { file }), before, state }
      all.push(outgoing)
      onChange(outgoing) // its turn may come late
      return queue(outgoing)
    },
    /** Asks again with the same key: what was sent is not sent again. */
    checkAgain: queue,
    /** The connection is back. */
    resume: () => goOn(),
    /** Leaves what Afilnet accepted to Afilnet's own list. */
    forgetAccepted() {
      all.splice(0, all.length, ...all.filter(({ state }) => state !== 'accepted'))
    },
    /** The gateway learned more about a send. */
    learn(send: Send) {
      const outgoing = all.find(({ key }) => key === send.idempotencyKey)
      if (!outgoing || send.state === 'pending') return
      change(outgoing, { send, state: send.state as Outgoing['state'], ...(send.problem && { reason: send.problem.detail }) })
    },
  }
}

/** A problem that names no send is about its own request, and leaves the doubt of an earlier one. */
function outcomeOf(error: unknown, wasInDoubt = false): Partial<Outgoing> {
  if (error instanceof DOMException) return { state: wasInDoubt ? 'unknown' : 'not_sent', reason: 'The file cannot be read' }
  if (!(error instanceof GatewayProblem)) return { state: 'waiting', reason: 'The gateway cannot be reached' }
  const { code, title, outcome, retry, body } = error
  const inDoubt = outcome === 'unknown' || (wasInDoubt && body?.sendId === undefined)
  const isFinal = code === 'unreadable-answer' && retry === 'no' // 413 of a proxy, say: it will say so again
  if (unreachable.has(code) && !isFinal) return { state: 'waiting', reason: title, inDoubt }
  if (inDoubt) return { state: 'unknown', reason: title, inDoubt }
  return { state: retry === 'no' && body?.sendId !== undefined && error.status < 500 ? 'rejected' : 'not_sent', reason: error.message }
}

const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
