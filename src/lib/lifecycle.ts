/** Where the process is in its life: it serves until `draining`, and says that it is leaving before. */
export type Lifecycle = {
  phase: 'serving' | 'leaving' | 'draining'
  /** Accepted requests whose answers are not yet on their way as a whole. */
  unanswered: number
}

export const createLifecycle = (): Lifecycle => ({ phase: 'serving', unanswered: 0 })
