import type { Call } from '../../src/sandbox/state.ts'
import type { Plan, Post, Told } from './plans.ts'
import type { Stop } from './process.ts'

export type Row = { id: string; destination: string; state: string; createdAt: string; settledAt?: string; problem?: { code: string } }

/** What there is to hold a plan against: its rows in the ledger, how often Afilnet took it, its calls, and who was ended when; the store is 2. */
export type Evidence = { rows: Row[]; taken: number; calls: Call[]; stopsOf: (gateway: number) => Stop[] }

export const timings = { timeoutMs: 400, lateMs: 2_000, deathMs: 15_000 }

/** Longer than any send may run while its process lives: the deadlines of claim, call and ledger, on a busy machine. */
const runMs = 3 * timings.timeoutMs + 5_000

/** Every promise that did not hold for a plan. */
export function brokenPromises(plan: Plan, evidence: Evidence): string[] {
  const broken: string[] = []
  const expect = (holds: boolean, promise: string) => {
    if (!holds && !broken.includes(promise)) broken.push(promise)
  }
  holdLedger(plan, evidence, expect)
  holdCalls(plan, evidence, expect)
  for (const post of plan.posts) holdPost(post, plan, evidence, expect)
  holdReplays(plan, evidence, expect)
  return broken
}

type Expect = (holds: boolean, promise: string) => void

/** The ledger agrees with what Afilnet took. */
function holdLedger({ keyed, posts }: Plan, { rows, taken, stopsOf }: Evidence, expect: Expect) {
  const toldInterrupted = new Set(posts.filter(({ told }) => told?.json.code === 'send-interrupted').map(({ told }) => told?.json.sendId))
  const held = rows.filter(({ state }) => state !== 'not_sent')
  expect(taken <= 1, 'Afilnet takes a message at most once')
  expect(!held.some(({ state }) => state === 'accepted') || taken === 1, 'what is accepted was taken')
  expect(taken === 0 || held.some(({ state }) => state === 'accepted' || state === 'unknown'), 'what was taken is accepted or unknown')
  expect(!keyed || held.length <= 1, 'a key holds one send')
  expect(rows.length <= posts.length, 'a post makes at most one row')

  const kills = [0, 1].flatMap(stopsOf).filter(({ signal }) => signal === 'SIGKILL')
  for (const { id, state, problem, createdAt, settledAt } of rows) {
    expect(state !== 'pending', 'nothing is pending for ever')
    const interrupted = problem?.code === 'send-interrupted'
    if (!interrupted && !toldInterrupted.has(id)) continue
    const killed = kills.find(({ at }) => at >= Date.parse(createdAt) - 5 && at - Date.parse(createdAt) <= runMs)
    expect(killed !== undefined, 'only a send whose process died is interrupted')
    const storeAway = killed && stopsOf(2).some(stop => froze(stop, killed.at, Date.parse(settledAt ?? '')))
    const late = interrupted && killed && !storeAway && Date.parse(settledAt ?? '') - killed.at > timings.deathMs
    expect(!late, 'what died with its process is unknown 15 s later')
  }
}

/** Nobody but the end of its process cuts a send short, and a late answer is heard. */
function holdCalls({ fault, posts }: Plan, { rows, calls: [call], stopsOf }: Evidence, expect: Expect) {
  const ran = posts.find(({ told }) => told && !told.replayed && told.status !== 409 && sendOf(told) !== undefined)
  const sound = fault === 'none' || fault === 'slow'
  const at = Date.parse(call?.at ?? '')
  const over = at + (sound ? 600 : 2_000)
  // Where nobody was told, nobody knows who ran it: the first post may have hung up before it was read.
  const runners = ran ? [ran.gateway] : [...new Set(posts.map(({ gateway }) => gateway))]
  const stops = [...runners, 2].flatMap(stopsOf)
  if (!call || posts.some(post => mayOwe(post, stopsOf)) || stops.some(stop => stop.upAgainAt >= at && stop.at <= over)) return
  const taken = !call.closedByPeer && rows.some(({ state }) => state === 'accepted')
  expect(!sound || taken, 'who hangs up does not cancel the send')

  const wanted = { late: 'accepted', 'late, refused': 'rejected', 'late, out of credit': 'unknown' }[String(fault)]
  const heard = ran?.told?.status === 504 && call.answer !== undefined && !call.closedByPeer
  if (wanted && heard)
    expect(
      rows.some(({ state }) => state === wanted),
      'a late answer settles what it can',
    )
}

/** Who asked was told the truth, and had a reason if not told at all. */
function holdPost(post: Post, { keyed }: Plan, { rows, stopsOf }: Evidence, expect: Expect) {
  const { told, gateway, startedAt, endedAt, hungUp } = post
  const stop = stopsOf(gateway).find(({ signal, at, upAgainAt }) => signal !== 'SIGSTOP' && endedAt >= at && startedAt <= upAgainAt)
  if (!told) {
    expect(hungUp || stop !== undefined, 'a request is answered unless its caller or the process is gone')
    expect(hungUp || stop?.signal === 'SIGKILL' || keyed || rows.length === 0, 'SIGTERM loses no send that was begun')
    return
  }
  const { status, json, text } = told
  const { outcome, retry, code } = json
  const owed = mayOwe(post, stopsOf)
  const row = rows.find(({ id }) => id === sendOf(told))
  expect(row !== undefined || (status === 503 && json.sendId === undefined), 'whatever was begun is remembered')
  expect(![201, 404].includes(status) || row?.state === (status === 201 ? 'accepted' : 'rejected'), 'what was told as settled stays so')
  if (status === 201) expect(text === JSON.stringify(row), 'the ledger shows what was told')
  else if (status === 404) expect(outcome === 'not_applied' && retry === 'no', 'a refusal is not to be repeated')
  else if (status === 409) {
    expect(code === 'idempotency-key-in-use' && outcome === 'unknown' && retry === 'same-key', '409 says that the first one runs')
    expect(told.retryAfter !== undefined, '409 says when to ask again')
    expect(post.startedAt - Date.parse(row?.createdAt ?? '') <= timings.deathMs + runMs, 'a key is not in use for ever')
  } else if (status === 503) {
    expect(outcome === 'not_applied' && (row === undefined || row.state === 'not_sent' || owed), '503 means that nothing was sent')
  } else if (status === 502 || status === 504) {
    expect(outcome === 'unknown' && retry === (keyed ? 'same-key' : 'no'), 'an unknown outcome is told as such')
    expect(['unknown', 'accepted', 'rejected'].includes(row?.state ?? ''), 'an unknown send is remembered')
  } else if (status === 500) {
    const heldUp = [0, 1, 2].flatMap(stopsOf).some(stop => froze(stop, startedAt, endedAt))
    expect(heldUp && outcome === 'unknown' && retry === (keyed ? 'same-key' : 'no'), '500 means that the ledger was held up')
  } else expect(false, `an answer is 201, 404, 409, 500, 502, 503 or 504, not ${status}`)
  const recorded = (status === 404 || status > 500) && (outcome !== 'unknown' || row?.state === 'unknown')
  if (row && recorded && !owed) expect(text === JSON.stringify(row.problem), 'the ledger shows the problem that was told')
}

/** A send is told once and replayed word for word; only a late answer changes it, and only from unknown. */
function holdReplays({ posts }: Plan, { stopsOf }: Evidence, expect: Expect) {
  const firm = posts.filter(post => !mayOwe(post, stopsOf))
  const ends = firm.filter(({ told }) => told && ![409, 500].includes(told.status) && sendOf(told) !== undefined)
  const sends = Map.groupBy(ends, ({ told }) => told && sendOf(told))
  for (const told of sends.values()) {
    const unknown = told.filter(post => post.told?.json.outcome === 'unknown')
    const settled = told.filter(post => post.told?.json.outcome !== 'unknown')
    for (const same of [unknown, settled])
      expect(new Set(same.map(post => `${post.told?.status} ${post.told?.text}`)).size <= 1, 'a replay is the same word for word')
    expect(told.filter(post => !post.told?.replayed).length <= 1, 'a send runs once and is marked as replayed afterwards')
    const settledAt = Math.min(...settled.map(({ endedAt }) => endedAt))
    expect(!unknown.some(({ startedAt }) => startedAt > settledAt), 'what was settled never becomes unknown')
  }
}

/** Whether a frozen process may have held up a time: one that is halted inside a transaction keeps the ledger locked. */
export const froze = ({ signal, at, upAgainAt }: Stop, from: number, to: number) =>
  signal === 'SIGSTOP' && to >= at && from <= upAgainAt + 1_000

/** An end that the ledger could not take in time is owed, and a debt dies with its process. */
const mayOwe = ({ startedAt, endedAt }: Post, stopsOf: Evidence['stopsOf']) => stopsOf(2).some(stop => froze(stop, startedAt, endedAt))

/** The send that an answer speaks of. */
const sendOf = ({ status, json }: Told) => (status === 201 ? json.id : json.sendId) as string | undefined // the contract has it so
