import type { CallOptions } from '../afilnet/client.ts'
import { type Fault, failures, faults, UpstreamError } from '../afilnet/faults.ts'
import { type Operation, operations } from '../afilnet/operations.ts'
import type { Observe } from '../events.ts'
import type { Cancellation } from '../lib/cancellation.ts'
import { atOnce, type Breaker, createBreaker, halfOfRecent, type Verdict } from '../lib/circuit-breaker.ts'
import { createRetryBudget } from '../lib/retry-budget.ts'

/** What one attempt may take, and whom it tells that it has left. */
export type Budget = Pick<CallOptions, 'caller' | 'timeoutMs' | 'recheck' | 'begun'>

type AskOptions = {
  caller: string
  /** Of who waits, where the call may end with them. */
  cancellation?: Cancellation | undefined
  /** Sees each attempt. */
  around: <T>(attempt: () => Promise<T>) => Promise<T>
}

/** What is known of Afilnet by the calls of one account; never its user. */
export type Standing = {
  lastAnswer?: { at: string; operation: string; code: string }
  /** `null` before an answer has told; `since` when it became so. */
  credentials: { accepted: boolean | null; since?: string }
  breakers: { operation: string; open: boolean }[]
}

/** Asks Afilnet on behalf of one account: holds calls back while they fail, and repeats those that may be. */
export type Asking = {
  /** Throws if Afilnet is not to be asked now. */
  admit(operation: Operation): void
  /** One call with its repetitions, inside one deadline. */
  ask<T>(operation: Operation, options: AskOptions, call: (budget: Budget) => Promise<T>): Promise<T>
  credentialsRejected(): boolean
  standing(): Standing
}

type AskingOptions = { account: string; timeoutMs: number; observe: Observe }

const counting = new Set<unknown>([failures.timeout, failures.connectionLost, failures.unreachable, failures.serverError])
const repeatableReads = new Set<unknown>([failures.connectionLost, failures.unreachable, failures.serverError])
const unanswered = new Set<unknown>([failures.timeout, failures.connectionLost, failures.unreachable])
const unasked = new Set<unknown>([failures.overloaded, failures.circuitOpen, failures.requestTooLong])

/** A caller that left, or a call that was never made, says nothing about Afilnet; any answer but a failing server's does. */
function verdictOnOperation(error: unknown): Verdict {
  if (!(error instanceof UpstreamError) || unasked.has(error.fault)) return 'nothing'
  return counting.has(error.fault) ? 'failed' : 'answered'
}

/** Only an answer in Afilnet's own words proves that it took the credentials. */
function verdictOnCredentials(error: unknown): Verdict {
  if (!(error instanceof UpstreamError)) return 'nothing'
  if (error.fault === faults.INCORRECT_USER_PASSWORD) return 'failed'
  return error.upstreamCode === undefined ? 'nothing' : 'answered'
}

export function createAsking({ account, timeoutMs, observe }: AskingOptions): Asking {
  const retries = createRetryBudget()
  const breakers = new Map<string, Breaker>()
  let lastAnswer: Standing['lastAnswer']
  let accepted: Standing['credentials'] = { accepted: null }
  /** The code with which Afilnet last rejected the credentials; none with a bare HTTP 401. */
  let rejectedWith: string | undefined

  // Answers for the whole account while Afilnet rejects its credentials, so that asking on does not lock it.
  const credentials = createBreaker({
    verdict: verdictOnCredentials,
    decides: atOnce(),
    firstProbeMs: 60_000,
    maxProbeMs: 900_000,
    againMs: 60_000, // its password may have been looked at all the same
    moved(open) {
      accepted = { accepted: !open, since: new Date().toISOString() }
      observe('credentialsStateChanged', { account, accepted: !open })
    },
  })

  function breakerOf({ method }: Operation) {
    const breaker =
      breakers.get(method) ??
      createBreaker({
        verdict: verdictOnOperation,
        decides: halfOfRecent({ windowMs: 10_000, minCalls: 20 }),
        firstProbeMs: 2_000,
        maxProbeMs: 30_000,
        againMs: 0,
        moved: open => observe('circuitStateChanged', { account, operation: method, open }),
      })
    breakers.set(method, breaker)
    return breaker
  }

  function admit(operation: Operation) {
    if (credentials.closedForS() !== undefined) {
      observe('callRefused', { account, reason: 'credentials' })
      throw new UpstreamError(faults.INCORRECT_USER_PASSWORD, { safe: operation.safe, upstreamCode: rejectedWith })
    }
    const retryAfterS = breakerOf(operation).closedForS()
    if (retryAfterS === undefined) return
    observe('callRefused', { account, reason: 'circuit-open' })
    throw new UpstreamError(failures.circuitOpen, { safe: operation.safe, retryAfterS })
  }

  /** Asks, and asks again within the same deadline where that is provably harmless. */
  async function repeatedly<T>(operation: Operation, { caller, cancellation, around }: AskOptions, call: (budget: Budget) => Promise<T>) {
    const deadline = performance.now() + timeoutMs
    // A probe is one call, and who began before the opening must not go on knocking.
    const heldBack = () => credentials.tripped() || breakerOf(operation).tripped()
    const probing = heldBack()
    const recheck = () => probing || admit(operation)
    retries.called()
    for (let attempt = 1; ; attempt++) {
      try {
        const once = (begun: () => void) => call({ caller, timeoutMs: deadline - performance.now(), recheck, begun })
        return await around(() => attempted(operation, once))
      } catch (error) {
        const pauseMs = (0.5 + Math.random()) * 50 * 4 ** (attempt - 1)
        const inTime = deadline - performance.now() > 2 * pauseMs
        if (attempt === 3 || !mayRepeat(operation, error) || !inTime || heldBack() || !retries.take()) throw error
        await pause(pauseMs, cancellation)
        if (heldBack()) throw error
      }
    }
  }

  /** One attempt, told of as it ends; from `begun` on it is a call. */
  async function attempted<T>({ method: operation }: Operation, call: (begun: () => void) => Promise<T>): Promise<T> {
    let startedAt: number | undefined
    const ended = (fault?: Fault, upstreamCode?: string) => {
      observe('upstreamAnswered', { account, operation, ms: performance.now() - (startedAt ?? 0), fault, upstreamCode })
    }
    const answered = (code: string, error?: UpstreamError) => {
      lastAnswer = { at: new Date().toISOString(), operation, code }
      const proved = !error || verdictOnCredentials(error) === 'answered'
      if (accepted.accepted === null && proved) accepted = { accepted: true, since: lastAnswer.at }
    }
    try {
      const result = await call(() => {
        startedAt = performance.now()
      })
      ended()
      answered('ok')
      return result
    } catch (error) {
      if (!(error instanceof UpstreamError)) {
        if (startedAt !== undefined) observe('upstreamAbandoned', { account, operation })
      } else if (error.fault === failures.overloaded) observe('callRefused', { account, reason: 'overloaded' })
      else if (startedAt !== undefined) {
        ended(error.fault, error.upstreamCode)
        const { unreadable, foreignField } = error
        if (unreadable) observe('answerUnreadable', { account, operation, ...unreadable })
        if (foreignField) observe('foreignRow', { account, operation, field: foreignField })
        if (!unanswered.has(error.fault)) answered(error.upstreamCode ?? error.fault.code, error)
      }
      throw error
    }
  }

  return {
    admit,
    async ask(operation, options, call) {
      admit(operation)
      try {
        // How it ends as a whole is what the breakers hear.
        return await credentials.run(() => breakerOf(operation).run(() => repeatedly(operation, options, call)))
      } catch (error) {
        if (error instanceof UpstreamError && error.fault === faults.INCORRECT_USER_PASSWORD) rejectedWith = error.upstreamCode
        throw error
      }
    },
    credentialsRejected: () => credentials.tripped(),
    standing: () => ({
      ...(lastAnswer && { lastAnswer }),
      credentials: accepted,
      breakers: operations.map(({ method }) => ({ operation: method, open: breakers.get(method)?.tripped() ?? false })),
    }),
  }
}

/** Nothing left, or a read that can be asked again. */
function mayRepeat({ kind, safe }: Operation, error: unknown) {
  if (!(error instanceof UpstreamError)) return false
  return safe ? repeatableReads.has(error.fault) : kind === 'send' && error.fault === failures.unreachable
}

/** Lets time pass, unless nobody waits any more. */
function pause(ms: number, cancellation: Cancellation | undefined) {
  return new Promise<void>((resolve, reject) => {
    const stay = cancellation?.onCancel(() => {
      clearTimeout(timer)
      reject(cancellation.reason)
    })
    const timer = setTimeout(() => {
      stay?.()
      resolve()
    }, ms)
  })
}
