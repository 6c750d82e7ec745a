/** The phase of the process: while `leaving` it still serves, but readiness says 503; while `draining` it refuses new requests. */
export type Lifecycle = {
  phase: 'serving' | 'leaving' | 'draining'
  /** Accepted requests whose answers are not written as a whole. */
  unanswered: number
}

export const createLifecycle = (): Lifecycle => ({ phase: 'serving', unanswered: 0 })
