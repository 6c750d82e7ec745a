import type { ScriptedResponse as SandboxAnswer } from '../../src/sandbox/scripted-responses.ts'

export type Span = { at: number; until: number }

/** What is sent: a text, a file by its URL, a file in a form, a file that was stored before. */
export const kinds = {
  messages: { weight: 70 },
  files: { weight: 10 },
  form: { weight: 12 },
  stored: { weight: 8 },
} as const

/** What a caller received, byte for byte. */
export type Answer = { status: number; text: string; json: Record<string, unknown>; replayed: boolean; retryAfter: string | undefined }

/** One post of a scenario; without `answer` the caller received none. */
export type Post = { gateway: number; startedAt: number; endedAt: number; hungUp: boolean; answer?: Answer }

/** One message to a recipient of its own, and everything that happens to it. */
export type Scenario = {
  destination: string
  keyed: boolean
  /** Its posts come with a token for its conversation instead of the key. */
  withToken: boolean
  token?: string
  kind: keyof typeof kinds
  /** Of the kind `stored`: where the file was stored, and when that was tried. */
  fileUrl?: string
  uploads: Span[]
  repeats: number
  parallel: boolean
  hangUp: boolean
  fault: keyof typeof faults
  posts: Post[]
}

const refused = '{"status":"ERROR","error":"CHANNEL_NOT_FOUND"}'
const outOfCredit = '{"status":"ERROR","error":"NO_CREDITS"}'

/** Each fault as the sandbox plays it; the weight says how often. Few enough count for the breaker to stay closed most of the time. */
export const faults = {
  none: { weight: 52, answer: {} },
  slow: { weight: 6, answer: { delayMs: 150 } },
  late: { weight: 5, answer: { delayMs: 600 } },
  'late, refused': { weight: 2, answer: { delayMs: 600, body: refused } },
  'late, out of credit': { weight: 2, answer: { delayMs: 600, body: outOfCredit } },
  silent: { weight: 2, answer: { fault: 'silent' } },
  stall: { weight: 1, answer: { fault: 'stall' } },
  drip: { weight: 1, answer: { fault: 'drip' } },
  'reset before it is taken': { weight: 4, answer: { fault: 'reset' } },
  'drop after it is taken': { weight: 4, answer: { fault: 'drop' } },
  truncated: { weight: 3, answer: { fault: 'truncated' } },
  html: { weight: 3, answer: { fault: 'html' } },
  429: { weight: 3, answer: { status: 429, body: '' } },
  '500, taken': { weight: 2, answer: { status: 500, body: '', takes: true } },
  '500, not taken': { weight: 2, answer: { status: 500, body: '' } },
  refused: { weight: 4, answer: { body: refused } },
  'out of credit': { weight: 4, answer: { body: outOfCredit } },
} as const satisfies Record<string, { weight: number; answer: SandboxAnswer }>

/** The scenarios of a seed, the same each time. */
export function makeScenarios(seed: number, sends: number, random: () => number): Scenario[] {
  return Array.from({ length: sends }, (_, i) => {
    const fault = pick(faults, random)
    const hangUp = random() < 0.1
    return {
      destination: `t${seed}-${i}`,
      fault: hangUp && fault === 'none' ? 'slow' : fault, // else most are answered before their caller has gone
      keyed: random() < 0.85,
      kind: pick(kinds, random),
      repeats: Math.floor(random() * 5),
      parallel: random() < 0.3,
      hangUp,
      withToken: random() < 0.2,
      uploads: [],
      posts: [],
    }
  })
}

export function pick<N extends string | number>(from: Record<N, { weight: number }>, random: () => number): N {
  const entries = Object.entries(from) as [N, { weight: number }][] // the record's own names
  let left = random() * entries.reduce((sum, [, { weight }]) => sum + weight, 0)
  for (const [name, { weight }] of entries) {
    left -= weight
    if (left < 0) return name
  }
  throw new Error('nothing to pick from')
}

/** A small seeded generator (mulberry32), so that a run can be repeated by its seed. */
export function seeded(seed: number) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
