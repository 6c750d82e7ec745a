import type { SendRef, SendState, Settlement, Store } from '../store/store.ts'

const undelivered: readonly (SendState | undefined)[] = ['rejected', 'not_sent', 'expired', 'canceled']

/** The same store, which says which file sends end undelivered: nobody fetches their files any more. */
export function reportingUndelivered(store: Store, report: (sendId: string) => void): Store {
  /** A lost answer leaves an end that the next offer only finds. */
  const heard = ({ id, kind }: SendRef, state: SendState, { settled, row }: Settlement) => {
    if (kind !== 'message' && undelivered.includes(settled ? state : row?.state)) report(id)
  }
  return {
    ...store,
    async settle(send, outcome) {
      const settlement = await store.settle(send, outcome)
      heard(send, outcome.state, settlement)
      return settlement
    },
    async unqueue(send, outcome) {
      const settlement = await store.unqueue(send, outcome)
      heard(send, outcome.state, settlement)
      return settlement
    },
    async takeDue(owner, limit) {
      const taken = await store.takeDue(owner, limit)
      for (const { id, kind } of taken.expired) if (kind === 'file') report(id)
      return taken
    },
  }
}
