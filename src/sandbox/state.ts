import { type Account, createAccount } from './account.ts'
import type { Script } from './customers.ts'
import { fakeClientSecret, OAuth } from './oauth.ts'
import { createRedactor, fakePassword } from './redaction.ts'
import type { Param, Transport } from './request.ts'
import { assertHeaders, type ScriptedResponse } from './scripted-responses.ts'

/** One call as it arrived, byte for byte but for passwords. */
export type Call = {
  id: number
  at: string
  httpMethod: string
  path: string
  transport: Transport
  contentType: string
  headers: Record<string, string>
  query: string
  body: string
  bodyBase64: string
  params: Param[]
  /** Missing while the call is open, and for good where a fault left it without a complete answer. */
  answer?: { status: number; body: string }
  /** The caller left before its answer was complete. */
  closedByPeer: boolean
}

export type StateOptions = { password?: string; clientSecret?: string; customers?: Partial<Script>; now?: () => number }

export type State = ReturnType<typeof createState>

/** Of all calls with their answers. Older ones are forgotten in batches, so that a sandbox can run for days. */
const keepCharacters = 50_000_000
const lengthOf = ({ body, bodyBase64, answer }: Call) => 1_000 + body.length + bodyBase64.length + (answer?.body.length ?? 0)

/** All that the sandbox knows: the accounts, the calls, and how it answers. */
export function createState(options: StateOptions = {}) {
  const { password = fakePassword, clientSecret = fakeClientSecret, customers = {}, now = Date.now } = options
  const watchers = createWatchers()
  const main = createAccount('demo@sandbox.invalid', now, watchers.changed, customers)
  const accounts = new Map([[main.user, main]])
  const calls: Call[] = []
  const queue: { answer: ScriptedResponse; left: number }[] = []
  let lastId = 0
  let characters = 0

  function grow(by: number) {
    characters += by
    if (characters <= keepCharacters) return
    characters = calls.reduce((sum, call) => sum + lengthOf(call), 0)
    let forgotten = 0
    for (const call of calls) {
      if (characters <= 0.9 * keepCharacters) break
      characters -= lengthOf(call)
      forgotten++
    }
    calls.splice(0, forgotten)
  }

  function take(isMeant: (answer: ScriptedResponse) => boolean): ScriptedResponse | undefined {
    const index = queue.findIndex(({ answer }) => isMeant(answer))
    const entry = queue[index]
    if (entry && --entry.left <= 0) queue.splice(index, 1)
    return entry?.answer
  }

  const state = {
    password,
    clientSecret,
    main,
    account: (user: string): Account | undefined => accounts.get(user),
    oauth: new OAuth({
      userOf: (user, given) => (given === password ? accounts.get(user)?.user : undefined),
      mainUser: main.user,
      clientSecret,
      now,
      queued: () => take(answer => answer.method === 'token'), // only an answer that names it is meant
      changed: watchers.changed,
    }),
    calls,
    now,
    redactor: createRedactor(password),
    latencyMs: 0,
    ...watchers,

    record: (call: Omit<Call, 'id' | 'closedByPeer'>): Call => {
      const recorded = { id: ++lastId, ...call, closedByPeer: false }
      calls.push(recorded)
      grow(lengthOf(recorded))
      return recorded
    },

    answered: (call: Call, answer: NonNullable<Call['answer']>) => {
      call.answer = answer
      grow(answer.body.length)
    },

    queue: (answer: ScriptedResponse) => {
      assertHeaders(answer.headers ?? {})
      queue.push({ answer, left: answer.times ?? 1 })
    },

    /** The first queued answer that is meant for this call, used up. */
    queued: (method: string | undefined, destination: string | undefined): ScriptedResponse | undefined =>
      take(answer => (answer.method ?? method) === method && (answer.destination ?? destination) === destination),

    /** The account of that user, made if it is new: with the same password, and a world of its own. */
    openAccount: (user: string): Account => {
      const account = accounts.get(user) ?? createAccount(user, now, watchers.changed, customers)
      accounts.set(user, account)
      return account
    },

    stop: () => {
      for (const account of accounts.values()) account.customers.stop()
    },

    reset: () => {
      state.stop()
      accounts.clear()
      accounts.set(main.user, main)
      main.reset()
      state.oauth.reset()
      calls.length = 0
      queue.length = 0
      lastId = 0
      state.latencyMs = 0
    },
  }
  return state
}

/** Lets tests and the control port wait for what happens. */
function createWatchers() {
  const watchers = new Set<() => void>()
  return {
    /** Checks every condition that is waited for. */
    changed: () => {
      for (const watcher of watchers) watcher()
    },

    /** Resolves as soon as `condition` holds after a change. */
    until: (condition: () => boolean) =>
      new Promise<void>(resolve => {
        const watcher = () => {
          if (!condition()) return
          watchers.delete(watcher)
          resolve()
        }
        watchers.add(watcher)
        watcher()
      }),
  }
}
