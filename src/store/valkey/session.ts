import type { LedgerClock } from '../clock.ts'
import { type StoreFault, StoreUnavailableError } from '../store.ts'
import type { Connection, Reply } from './connection.ts'
import type { LedgerWatch } from './ledger.ts'
import type { Script } from './lua.ts'
import { scripts } from './scripts.ts'

type Args = (string | number)[]

export type Session = ReturnType<typeof createSession>

type SessionOptions = {
  writer: Connection
  reader: Connection
  clock: LedgerClock
  ledger: LedgerWatch
  policy: { keepMs: number; keepUnknownMs: number; leaseMs: number; maxBytes: number }
  /** The identity of a ledger that has none. */
  identity: string
  report: (fault?: StoreFault) => void
}

/** How scripts are run on the two connections of a store, and how its state follows from their answers. */
export function createSession({ writer, reader, clock, ledger, policy, identity, report }: SessionOptions) {
  const { track, end } = createTracker()
  let refused: StoreFault | undefined

  function common(): Args {
    const { now, trusted } = clock.read()
    return [now, trusted - policy.keepMs, trusted - policy.keepUnknownMs, policy.leaseMs, policy.maxBytes, identity, ...ledger.known()]
  }

  const writeWith =
    (ask: Connection['ask']) =>
    async (script: Script, ...args: Args): Promise<Reply[]> => {
      try {
        const [over, ...answer] = (await track(() => ask(script, [...common(), ...args]))) as Reply[] // they answer lists
        report(over === 1 ? 'limit' : refused)
        return answer
      } catch (error) {
        report(error instanceof StoreUnavailableError ? error.cause : 'io')
        throw error
      }
    }

  /** A write that a failover could take back is not taken for done: a replica has to have it. */
  const confirmed: Connection['ask'] = async (script, args) => {
    const { reply, confirmed } = await writer.askConfirmed(script, args)
    if (confirmed) return reply
    await writer.refresh().catch(() => {}) // the next call says why
    throw new StoreUnavailableError('busy', true)
  }

  /** Only a write as demanding as a claim shows that claims succeed again. */
  const claiming: Connection['ask'] = async (script, args) => {
    try {
      const reply = await confirmed(script, args)
      refused = undefined
      return reply
    } catch (error) {
      refused = error instanceof StoreUnavailableError ? error.cause : 'io'
      throw error
    }
  }

  /** An end that a failover takes back makes a send `unknown` and never a second one, so it need not wait for the replica in vain. */
  const bestEffortConfirm: Connection['ask'] = async (script, args) => (await writer.askConfirmed(script, args)).reply

  const read = (script: Script, ...args: Args) => track(() => reader.ask(script, [...common(), ...args]))

  return {
    track,
    /** What a script that reads answers. */
    read,
    /** The same on the connection that writes. During a failover, the two connections may lead to different servers. */
    readToWrite: (script: Script, ...args: Args) => track(() => writer.ask(script, [...common(), ...args])),
    /** All names in a set. */
    members: async (set: 'callers' | 'logs' | 'webhooks') => ((await read(scripts.members, set)) as string[]).sort(), // as the script says it
    /** What a script that writes answers; confirmed writes reject unless a replica has them, where there is one. */
    write: writeWith(writer.ask),
    confirmedWrite: writeWith(confirmed),
    /** Waits for a replica, but takes the write for done without it. */
    bestEffortWrite: writeWith(bestEffortConfirm),
    /** A confirmed write whose refusal stops claims until another one succeeds. */
    claimWrite: writeWith(claiming),
    /** A write whose failure says nothing of the ledger; waits for a replica, but takes the write for done without it. */
    async writeBeside(script: Script, ...args: Args) {
      const [, ...answer] = (await track(() => bestEffortConfirm(script, [...common(), ...args]))) as Reply[] // as above
      return answer
    },
    /** Whether claims are refused while everything else may get through: a full server, a replica that hangs. */
    claimsRefused: () => refused !== undefined,
    end,
  }
}

function createTracker() {
  const running = new Set<Promise<unknown>>()
  let ended = false
  return {
    /** Runs work that `end` waits for; refused afterwards. */
    track<T>(work: () => Promise<T>): Promise<T> {
      if (ended) return Promise.reject(new StoreUnavailableError('closed'))
      const verb = work()
      running.add(verb)
      const done = () => void running.delete(verb)
      verb.then(done, done)
      return verb
    },
    /** Refuses further work; resolves once what runs has ended. */
    end() {
      ended = true
      return Promise.allSettled(running)
    },
  }
}
