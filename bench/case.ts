import type { Ask } from './endpoint.ts'
import type { RunningTarget, Stub } from './setup.ts'
import type { TargetName } from './targets.ts'

/** How long and how often a run measures. */
export type RunOptions = {
  rounds: number
  seconds: number
  warmSeconds: number
  /** Before the first run of each target: V8 goes on compiling what is hot for tens of thousands of requests. */
  firstWarmSeconds: number
  checks: number
  /** How much of a case's connections. */
  part: number
  mixed: { requests: number; minSeconds: number; maxSeconds: number; sliceSeconds: number }
}

/** One number that a case yields, and what it should be. */
export type Figure = {
  title: string
  unit: '/s' | 'ms' | 'µs' | 'MB' | 'kB' | '%' | '×' | ''
  digits?: number
  /** Which way is better, where targets are compared by their ratio to nginx+lua. */
  better?: 'more' | 'less'
  /** Subtract what the same request takes without a target between loader and stub. */
  added?: true
  /** Of this gateway: at least so many times nginx+lua's, at most or at least so much, or at most so much more than nginx+lua's. */
  goal?: { timesNginx: number } | { atMost: number } | { atLeast: number } | { beyondNginx: number }
}

/** A running target with its stub and the options of the run. */
export type Setup = RunningTarget & { name: string; stub: Stub; runOptions: RunOptions }

/** Numbers by the names of figures, and what was wrong with the answers behind them. */
export type Outcome = { numbers: Record<string, number>; mistakes: string[] }

export type Case = {
  title: string
  asks: readonly Ask[]
  /** Those that it compares; absent: all that serve Afilnet as REST. */
  targets?: readonly TargetName[]
  /** How many connections the loader opens. */
  connections?: number
  /** Also measured without a target between loader and stub. */
  direct?: true
  /** One round is enough, or all that there is time for. */
  once?: true
  /** The first one decides whether a set of rounds is steady enough. */
  figures: Record<string, Figure>
  warm(setup: Setup, seconds: number): Promise<unknown>
  measure(setup: Setup): Promise<Outcome>
}
