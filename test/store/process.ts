import type { EventLog, Leases } from '../../src/store/event-log.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { policy } from './sends.ts'

/** A verb asked of a store in another process. */
export type Call = { seq: number; verb: keyof Store | keyof Leases | keyof EventLog; args: never[] }

const store = await openStore(process.argv[2] ?? '', policy)
process.on('message', ({ seq, verb, args }: Call) => {
  const run = { ...store.leases, ...store.log, ...store }[verb] as unknown as (...args: never[]) => Promise<unknown> // the parent's proxy is typed
  run(...args).then(
    value => process.send?.({ seq, value }),
    error => process.send?.({ seq, failed: { fault: error.cause, message: error.message } }),
  )
})
process.on('disconnect', () => process.exit())
process.send?.({ seq: 0 })
