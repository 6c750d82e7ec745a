import type { Observe } from '../events.ts'
import { createSteadyState } from '../lib/steady-state.ts'
import type { StoreFault } from '../store/store.ts'

export type LedgerHealth = ReturnType<typeof createLedgerHealth>

/** How the ledger is, as its adapter reports it: for health, metrics and log, and for those that must know of a loss at once. */
export function createLedgerHealth(observe: Observe) {
  const steady = createSteadyState<StoreFault | undefined>((ok, fault) => observe('storeStateChanged', { ok, fault }))
  let isAway = false
  let isChanged = false
  let onLost = () => {}

  return {
    /** What was reported last: a loss at once, a recovery once it lasts. */
    get isOk() {
      return steady.ok
    },
    /** Whether it is out of order at this moment. */
    get isAway() {
      return isAway
    },
    /** Whether it is not the ledger that this process began with. */
    get isChanged() {
      return isChanged
    },
    state(): 'ok' | 'unavailable' | 'changed' {
      if (!steady.ok) return 'unavailable'
      return isChanged ? 'changed' : 'ok'
    },
    /** Calls back when the ledger may be another one once it is back. */
    whenLost(listener: () => void) {
      onLost = listener
    },
    onState(ok: boolean, fault?: StoreFault) {
      steady.set(ok, fault)
      isAway = !ok
      if (!ok) onLost()
    },
    onLedger(changed: boolean) {
      isChanged = changed
      onLost() // another ledger has another secret
      observe('ledgerChanged', { changed })
    },
  }
}
