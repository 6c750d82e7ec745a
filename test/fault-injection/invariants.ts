import type { Call } from '../../src/sandbox/state.ts'
import type { Outage } from './gateway-process.ts'
import type { Answer, Post, Scenario, Span } from './scenarios.ts'

export type Row = {
  id: string
  destination: string
  state: string
  createdAt: string
  settledAt?: string
  settledBy?: string
  problem?: { code: string }
}

/** What a scenario is compared with: its rows in the ledger, how often Afilnet took it, its calls, and the outages of each gateway; 2 is the store. */
export type Evidence = {
  rows: Row[]
  taken: number
  calls: Call[]
  outagesOf: (gateway: number) => Outage[]
  clockJumps: Span[]
  ledgerGaps: Span[]
  strays: Span[]
  stalls: Span[]
}

export const timings = { timeoutMs: 400, lateMs: 2_000, deathMs: 15_000 }

/** Longer than any send may run while its process lives: the deadlines of claim, call and ledger, on a busy machine. */
const runMs = 3 * timings.timeoutMs + 5_000

/** Every invariant that did not hold for a scenario. */
export function brokenInvariants(scenario: Scenario, evidence: Evidence): string[] {
  const broken: string[] = []
  const expect = (holds: boolean, invariant: string) => {
    if (!holds && !broken.includes(invariant)) broken.push(invariant)
  }
  // A send that began while the ledger was away is in the one that was thrown away; only that a key sends once still holds.
  if (metGap(scenario, evidence.ledgerGaps)) {
    expect(!scenario.keyed || evidence.taken <= 1, 'Afilnet takes a message at most once')
    return broken
  }
  holdLedger(scenario, evidence, expect)
  holdCalls(scenario, evidence, expect)
  for (const post of scenario.posts) holdPost(post, scenario, evidence, expect)
  holdReplays(scenario, evidence, expect)
  return broken
}

/** Whether the ledger was away when a file or send of the scenario came. */
export function metGap({ uploads, posts }: Scenario, ledgerGaps: readonly Span[]): boolean {
  // The gateway goes on with a send whose caller has hung up.
  const requests = [
    ...uploads,
    ...posts.map(({ startedAt, endedAt, answer }) => ({ at: startedAt, until: endedAt + (answer ? 0 : runMs) })),
  ]
  return requests.some(request => ledgerGaps.some(gap => overlaps(request, gap)))
}

type Expect = (holds: boolean, invariant: string) => void

/** The ledger agrees with what Afilnet took. */
function holdLedger({ keyed, posts }: Scenario, { rows, taken, outagesOf, clockJumps }: Evidence, expect: Expect) {
  const answeredInterrupted = new Set(
    posts.filter(({ answer }) => answer?.json.code === 'send-interrupted').map(({ answer }) => answer?.json.sendId),
  )
  const held = rows.filter(({ state }) => state !== 'not_sent')
  expect(taken <= 1, 'Afilnet takes a message at most once')
  expect(!held.some(({ state }) => state === 'accepted') || taken === 1, 'what is accepted was taken')
  expect(taken === 0 || held.some(({ state }) => state === 'accepted' || state === 'unknown'), 'what was taken is accepted or unknown')
  expect(!keyed || held.length <= 1, 'a key holds one send')
  expect(rows.length <= posts.length, 'a post makes at most one row')

  const kills = [0, 1].flatMap(outagesOf).filter(({ signal }) => signal === 'SIGKILL')
  for (const { id, state, problem, createdAt, settledAt } of rows) {
    expect(state !== 'pending', 'no send stays pending')
    const interrupted = problem?.code === 'send-interrupted'
    if (!interrupted && !answeredInterrupted.has(id)) continue
    // Times that a clock wrote while it was a minute ahead compare with nothing.
    if (clockJumps.some(({ at, until }) => Date.parse(createdAt) >= at - runMs && Date.parse(createdAt) <= until + 60_000 + runMs)) continue
    const killed = kills.find(({ at }) => at >= Date.parse(createdAt) - 5 && at - Date.parse(createdAt) <= runMs)
    expect(killed !== undefined, 'only a send whose process died is interrupted')
    const storeAway = killed && outagesOf(2).some(outage => heldUp(outage, killed.at, Date.parse(settledAt ?? '')))
    const late = interrupted && killed && !storeAway && Date.parse(settledAt ?? '') - killed.at > timings.deathMs
    expect(!late, 'a send that died with its process is unknown 15 s later')
  }
}

/** Only the end of its process cuts a send short, and a late answer counts. */
function holdCalls({ fault, posts }: Scenario, { rows, calls: [call], outagesOf, strays, stalls }: Evidence, expect: Expect) {
  const ran = posts.find(({ answer }) => answer && !answer.replayed && answer.status !== 409 && sendOf(answer) !== undefined)
  const sound = fault === 'none' || fault === 'slow'
  const at = Date.parse(call?.at ?? '')
  const over = at + (sound ? 600 : 2_000)
  // Without an answer, either gateway may have run it: the first post may have hung up before it was read.
  const runners = ran ? [ran.gateway] : [...new Set(posts.map(({ gateway }) => gateway))]
  const outages = [...runners, 2].flatMap(outagesOf)
  if (!call || posts.some(post => mayBeUnrecorded(post, outagesOf)) || outages.some(outage => outage.upAgainAt >= at && outage.at <= over))
    return
  // A machine that is slower than the deadline: the answer came late, or the process was killed before it did.
  if (sound && rows.some(({ problem }) => problem?.code === 'upstream-timeout' || problem?.code === 'send-interrupted')) return
  // With more bytes behind it than it promised, an answer counts as lost.
  if (strays.some(stray => stray.until >= at - 1_000 && stray.at <= over)) return
  const taken = !call.closedByPeer && rows.some(({ state }) => state === 'accepted')
  expect(!sound || taken, 'a caller that hangs up does not cancel the send')

  const wanted = { late: 'accepted', 'late, refused': 'rejected', 'late, out of credit': 'unknown' }[String(fault)]
  const heard = ran?.answer?.status === 504 && call.answer !== undefined && !call.closedByPeer
  // Where the sandbox stood still, its answer may have come when the gateway had given up.
  const onTime = !stalls.some(stall => stall.until >= at - 1_000 && stall.at <= at + timings.timeoutMs + timings.lateMs)
  if (wanted && heard && onTime)
    expect(
      rows.some(({ state }) => state === wanted),
      'a late answer settles what it can',
    )
}

/** Every answer is true, and a missing one has a cause. */
function holdPost(post: Post, { keyed }: Scenario, { rows, outagesOf }: Evidence, expect: Expect) {
  const { answer, gateway, startedAt, endedAt, hungUp } = post
  const outages = outagesOf(gateway).filter(({ signal, at, upAgainAt }) => signal !== 'SIGSTOP' && endedAt >= at && startedAt <= upAgainAt)
  if (!answer) {
    expect(hungUp || outages.length > 0, 'a request is answered unless its caller or the process is gone')
    const begun = rows.some(({ createdAt }) => Date.parse(createdAt) >= startedAt)
    // A process that has just started again may be killed at once: then the request meets the ends of both.
    expect(hungUp || outages.some(({ signal }) => signal === 'SIGKILL') || keyed || !begun, 'SIGTERM loses no send that was begun')
    return
  }
  const { status, json, text } = answer
  const { outcome, retry, code } = json
  const unrecorded = mayBeUnrecorded(post, outagesOf)
  const row = rows.find(({ id }) => id === sendOf(answer))
  expect(row !== undefined || (status === 503 && json.sendId === undefined), 'a send that began is remembered')
  expect(![201, 404].includes(status) || row?.state === (status === 201 ? 'accepted' : 'rejected'), 'a settled answer stays true')
  if (status === 201) expect(text === JSON.stringify(row), 'the ledger shows the answer')
  else if (status === 404) expect(outcome === 'not_applied' && retry === 'no', 'a refusal is not to be repeated')
  else if (status === 409) {
    expect(code === 'idempotency-key-in-use' && outcome === 'unknown' && retry === 'same-key', '409 says that the first one runs')
    expect(answer.retryAfter !== undefined, '409 says when to ask again')
    expect(post.startedAt - Date.parse(row?.createdAt ?? '') <= timings.deathMs + runMs, 'a key is not in use for ever')
  } else if (status === 503) {
    expect(outcome === 'not_applied' && (row === undefined || row.state === 'not_sent' || unrecorded), '503 means that nothing was sent')
  } else if (status === 502 || status === 504) {
    expect(outcome === 'unknown' && retry === (keyed ? 'same-key' : 'no'), 'an unknown outcome is answered as unknown')
    expect(['unknown', 'accepted', 'rejected'].includes(row?.state ?? ''), 'an unknown send is remembered')
  } else if (status === 500) {
    const wasHeldUp = [0, 1, 2].flatMap(outagesOf).some(outage => heldUp(outage, startedAt, endedAt))
    expect(wasHeldUp && outcome === 'unknown' && retry === (keyed ? 'same-key' : 'no'), '500 means that the ledger was held up')
  } else expect(false, `an answer is 201, 404, 409, 500, 502, 503 or 504, not ${status}`)
  const recorded = (status === 404 || status > 500) && (outcome !== 'unknown' || row?.state === 'unknown')
  if (row && recorded && !unrecorded) expect(text === JSON.stringify(row.problem), 'the ledger shows the problem of the answer')
}

/** A send runs once and is replayed byte for byte; only a late answer changes it, and only from unknown. */
function holdReplays({ posts }: Scenario, { outagesOf }: Evidence, expect: Expect) {
  const firm = posts.filter(post => !mayBeUnrecorded(post, outagesOf))
  const ends = firm.filter(({ answer }) => answer && ![409, 500].includes(answer.status) && sendOf(answer) !== undefined)
  const sends = Map.groupBy(ends, ({ answer }) => answer && sendOf(answer))
  for (const answer of sends.values()) {
    const unknown = answer.filter(post => post.answer?.json.outcome === 'unknown')
    const settled = answer.filter(post => post.answer?.json.outcome !== 'unknown')
    for (const same of [unknown, settled])
      expect(new Set(same.map(post => `${post.answer?.status} ${post.answer?.text}`)).size <= 1, 'a replay is the same word for word')
    expect(answer.filter(post => !post.answer?.replayed).length <= 1, 'a send runs once and is marked as replayed afterwards')
    const settledAt = Math.min(...settled.map(({ endedAt }) => endedAt))
    expect(!unknown.some(({ startedAt }) => startedAt > settledAt), 'a settled send never becomes unknown')
  }
}

export const overlaps = (a: Span, b: Span) => a.until >= b.at && a.at <= b.until

/** Whether a halted process may have held up a time: one that is halted inside a transaction keeps the ledger locked. */
export const heldUp = ({ signal, at, upAgainAt }: Outage, from: number, to: number) =>
  signal === 'SIGSTOP' && to >= at && from <= upAgainAt + 1_000

/** An end that the ledger could not record in time is recorded later, unless the process dies before. */
const mayBeUnrecorded = ({ startedAt, endedAt }: Post, outagesOf: Evidence['outagesOf']) =>
  outagesOf(2).some(outage => heldUp(outage, startedAt, endedAt))

/** The send that an answer speaks of. */
const sendOf = ({ status, json }: Answer) => (status === 201 ? json.id : json.sendId) as string | undefined // the contract has it so
