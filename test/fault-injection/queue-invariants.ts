import type { Call } from '../../src/sandbox/state.ts'
import type { Outage } from './gateway-process.ts'
import { heldUp, overlaps, type Row } from './invariants.ts'
import type { QueuedScenario, QueueRequest } from './queue-scenarios.ts'
import type { Span } from './scenarios.ts'

/** What a queued send is compared with. */
export type QueueEvidence = { rows: Row[]; taken: number; calls: Call[]; outages: Outage[]; clockJumps: Span[]; ledgerGaps: Span[] }

const final = ['accepted', 'rejected', 'not_sent', 'unknown', 'expired', 'canceled']

/** Between the last look at the clock and the sandbox's, on a busy machine; an answer in time says that there was not much between them. */
const slackMs = { answer: 1_500, later: 10_000 }
const clockMs = 5

/** The states in which the ledger may have a send that was answered like this. */
const statesOf: Record<number, readonly string[]> = {
  200: ['canceled', 'expired'],
  201: ['accepted'],
  202: final,
  404: ['rejected'],
  409: final,
  502: ['unknown', 'accepted', 'rejected'],
  503: ['not_sent'],
  504: ['unknown', 'accepted', 'rejected'],
}

/** Every invariant that did not hold for a queued send. */
export function brokenQueueInvariants(scenario: QueuedScenario, evidence: QueueEvidence): string[] {
  const { posts, cancels, foreignCancels, sendAt, expiresAt } = scenario
  const { rows, taken, calls, outages, clockJumps, ledgerGaps } = evidence
  const broken = new Set<string>()
  const expect = (holds: boolean, invariant: string) => {
    if (!holds) broken.add(invariant)
  }
  expect(taken <= 1, 'Afilnet takes a queued message at most once')
  // What happens while the ledger is away is in the one that is thrown away.
  if ([...posts, ...cancels].some(request => ledgerGaps.some(gap => overlaps(request, gap)))) return [...broken]

  const held = rows.filter(({ state }) => state !== 'not_sent')
  expect(held.length <= 1 || !scenario.keyed, 'a key holds one send')
  expect(
    rows.every(({ state }) => final.includes(state)),
    'every queued send ends',
  )
  expect(taken === 1 || !held.some(({ state }) => state === 'accepted'), 'what is accepted was taken')
  expect(taken === 0 || held.some(({ state }) => state === 'accepted' || state === 'unknown'), 'what was taken is accepted or unknown')
  for (const post of posts) holdPost(post, rows, outages, expect)
  const isRefused = posts.every(({ status }) => status === 503)
  expect(!isRefused || taken === 0, '503 means that nothing was sent')
  for (const { status, json } of cancels) {
    const row = rows.find(({ id }) => id === json.id)
    if (status === 200) expect(taken === 0 && row?.state === 'canceled', 'what was canceled is never sent')
    else expect([undefined, 401, 409, 500, 503].includes(status), `a cancel is 200, 401, 409, 500 or 503, not ${status}`)
  }
  for (const { status } of foreignCancels)
    expect(status === undefined || [401, 404, 500, 503].includes(status), 'only its caller cancels a send')

  const isSharp = held.every(({ settledBy }) => settledBy === 'answer')
  const endsAt = expiresAt + (isSharp ? slackMs.answer : slackMs.later)
  const wasFrozen = (at: number) => outages.some(outage => heldUp(outage, at - slackMs.answer, at + slackMs.answer))
  for (const call of calls) {
    const at = Date.parse(call.at)
    if (clockJumps.some(jump => overlaps({ at: at - 61_000, until: at + 61_000 }, jump))) continue
    expect(expiresAt === 0 || at <= endsAt || wasFrozen(at), 'nothing is attempted after its end')
    expect(at >= sendAt - clockMs, 'nothing is attempted before it is due')
  }
  return [...broken]
}

type Expect = (holds: boolean, invariant: string) => void

/** Every answer stays true, and what was queued is remembered. */
function holdPost({ status, json, at, until }: QueueRequest, rows: readonly Row[], outages: readonly Outage[], expect: Expect) {
  if (status === undefined || status === 401) return
  const id = json.id ?? json.sendId
  const row = rows.find(row => row.id === id)
  if (status === 500)
    return expect(
      outages.some(outage => outage.at <= until && at <= outage.upAgainAt + 1_000),
      '500 means that the ledger was held up, or lost its answer',
    )
  if (id === undefined) return expect(status === 503, `an answer without a send is 503, not ${status}`)
  expect(row !== undefined || status === 503, 'a queued send is remembered')
  if (row) expect(statesOf[status]?.includes(row.state) ?? false, `an answer stays true: ${status}, then ${row.state}`)
}
