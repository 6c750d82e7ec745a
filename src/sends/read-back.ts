import type { KeyObject } from 'node:crypto'
import { type Observe, unobserved } from '../events.ts'
import { repeat } from '../lib/repeat.ts'
import { type Conversation, chatKeyOf, maxConversationRows, type Outcome, type SendRow, type Store, within } from '../store/store.ts'
import { type ConversationRow, datedRows, type Listed, merge } from './dated-rows.ts'
import { type Candidate, rowOf } from './match.ts'
import { textDigest } from './request.ts'
import { type Seen, Sightings } from './sightings.ts'

/** What the poller has read of a conversation: `isNew` rows were not there at `absentAt`, when an earlier call began, and were there at `at`. */
type PolledConversation = Conversation & {
  account: string
  rows: readonly (ConversationRow & { isNew: boolean; statusChanged: boolean })[]
  absentAt: number | undefined
  beganAt: number
  at: number
}

type ReadBackOptions = {
  store: Store
  secret: () => Promise<KeyObject>
  /** The accounts whose sends this process looks for now. */
  accounts: () => readonly string[]
  /** Reads a conversation of an account; nothing where Afilnet's time zone is not known, so that a row proves nothing by its time. */
  read: (account: string, conversation: Conversation) => Promise<Listed | undefined>
  /** `false`: what is unknown stays so, and only accepted sends get their message. */
  settles?: boolean
  now?: () => number
  observe?: Observe
  timeoutMs?: number
}

const lookups = 100 // at one time
const lookEveryMs = 500
const dayMs = 86_400_000
const hourMs = 3_600_000
/** Afilnet may show a message so long after it took it. */
const shownLateMs = 60_000

/** Finds out what became of sends by reading their conversations. What is not certain stays as it is. */
export class ReadBack {
  readonly #options: Required<ReadBackOptions>
  readonly #sightings: Sightings
  #stop = () => {}

  constructor(options: ReadBackOptions) {
    this.#options = { settles: true, now: Date.now, observe: unobserved, timeoutMs: 10_000, ...options }
    this.#sightings = new Sightings(this.#options.now)
  }

  /** Looks for sends that are due, until `stop`. */
  start() {
    this.#stop = repeat(lookEveryMs, () => this.lookUp())
  }

  stop() {
    this.#stop()
  }

  /** Looks once for each unknown message that is due. */
  async lookUp(): Promise<void> {
    const accounts = this.#options.accounts()
    if (accounts.length === 0) return
    const due = await within(this.#options.timeoutMs, this.#options.store.takeLookups(accounts, lookups))
    const conversations = Map.groupBy(due, row => JSON.stringify([row.account, chatKeyOf(row)]))
    await Promise.allSettled(Array.from(conversations.values(), rows => this.#lookFor(rows)))
  }

  /** Takes what the poller has read: new rows may be sends, and a new status may be the delivery of one. */
  async conversationRead({ rows, absentAt, beganAt, at, ...conversation }: PolledConversation): Promise<void> {
    const outgoing = rows.filter(({ out, isNew, statusChanged }) => out === true && (isNew || statusChanged))
    if (outgoing.length === 0) return
    const secret = await this.#options.secret()
    const isDated = absentAt !== undefined && absentAt <= beganAt // else the clock was set back since the look before
    const seen = outgoing.flatMap(({ messageId, text, status, isNew }): Seen[] =>
      !isNew || text === null || !isDated
        ? []
        : [{ messageId, digest: textDigest(text, secret), status, absentAt: absentAt - shownLateMs, newTo: beganAt, seenAt: at }],
    )
    this.#sightings.add(conversation, seen)
    const sends = await this.#sendsTo(conversation)
    for (const { messageId, status } of outgoing) {
      const send = sends.find(other => other.messageId === messageId)
      if (send) await this.#note(send, messageId, status)
    }
    await this.#match(sends, new Set(seen.map(({ digest }) => digest)), this.#sightings.of(conversation))
  }

  /** The conversations of an account in which a send of the last hour waits for the end of its delivery. */
  async undelivered(account: string): Promise<Omit<Conversation, 'user'>[]> {
    const now = this.#options.now()
    const sends = await within(this.#options.timeoutMs, this.#options.store.recent(account, now - hourMs))
    // After a clock was set back, ids go on from where it was: they name a time that is still to come.
    const open = sends.filter(({ createdAt, deliveryStatus }) => Math.abs(now - createdAt) <= hourMs && !isFinal(deliveryStatus))
    const chats = open.map(({ platform, platformId, destination }) => ({ platform, platformId, destination }))
    return [...new Map(chats.map(chat => [JSON.stringify(chat), chat])).values()]
  }

  async #lookFor(rows: SendRow[]) {
    const [first] = rows
    if (!first) return
    const secret = await this.#options.secret()
    const wanted = new Set(rows.flatMap(({ textDigest: digest }) => digest ?? []))
    const listed = await this.#options.read(first.account, first).catch(() => undefined)
    const dated = listed ? datedRows(listed, this.#options.now(), text => textDigest(text, secret)) : []
    await this.#match(await this.#sendsTo(first), wanted, merge(this.#sightings.of(first), dated), rows)
  }

  /** Gives each send with one of these digests its row, where that is certain. */
  async #match(sends: readonly SendRow[], digests: ReadonlySet<string>, seen: readonly Seen[], only: readonly SendRow[] = sends) {
    const ids = new Set(only.map(({ id }) => id))
    for (const digest of digests) {
      // A message of an earlier release has no digest: it may have any text.
      const alike = sends.filter(({ kind, textDigest: own }) => own === digest || (own === undefined && kind === 'message'))
      const candidates = alike.map(candidateOf)
      const rows = seen.filter(row => row.digest === digest)
      for (const [n, send] of alike.entries()) {
        const candidate = candidates[n]
        if (!candidate || !ids.has(send.id) || send.textDigest !== digest || !['pending', 'accepted', 'unknown'].includes(send.state))
          continue
        const known = send.messageId !== undefined
        const row = known ? undefined : rowOf(candidate, candidates, rows)
        if (row) {
          await this.#note(send, row.messageId, rows.find(({ messageId }) => messageId === row.messageId)?.status ?? null)
          candidate.messageId = row.messageId
        }
        if ((row || known) && send.state === 'unknown' && send.kind === 'message') await this.#accept(send)
      }
    }
  }

  async #accept(send: SendRow) {
    if (!this.#options.settles) return
    const settledAt = Math.max(send.createdAt, this.#options.now())
    const outcome: Outcome = { state: 'accepted', settledAt, answer: '', settledBy: 'read-back', late: true }
    const { settled } = await within(this.#options.timeoutMs, this.#options.store.settle(send, outcome))
    if (settled) this.#options.observe('sendSettled', { account: send.account, kind: send.kind, state: 'accepted' })
  }

  #note(send: SendRow, messageId: string, status: string | null) {
    const finding = { messageId, deliveryAt: this.#options.now(), ...(status !== null && { deliveryStatus: status }) }
    return within(this.#options.timeoutMs, this.#options.store.note(send, finding))
  }

  /** The sends to a conversation of the last day; of very many, only as far back as all of them are known. */
  async #sendsTo(conversation: Conversation): Promise<SendRow[]> {
    const sends = await within(this.#options.timeoutMs, this.#options.store.conversation(conversation, this.#options.now() - dayMs))
    return sends.length < maxConversationRows ? sends : []
  }
}

const candidateOf = (row: SendRow): Candidate => ({ ...row, beganAt: row.startedAt ?? row.createdAt })

const finalWords = /^(read|seen|played|failed|failure|error|rejected|undeliver\w*|expired|deleted)$/i

/** Whether Afilnet's word for a delivery is its last one, as far as words tell: the manual lists none. */
const isFinal = (status: string | undefined) => status !== undefined && finalWords.test(status.trim())
