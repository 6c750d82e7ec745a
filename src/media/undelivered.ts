import type { SendState, Store } from '../store/store.ts'

const undelivered: readonly (SendState | undefined)[] = ['rejected', 'not_sent', 'expired', 'canceled']

/** Wraps a store so that it reports each file send that ends undelivered: Afilnet does not fetch its files any more. */
export function reportingUndelivered(store: Store, report: (sendId: string) => void): Store {
  const reporting =
    (end: Store['settle']): Store['settle'] =>
    async (send, outcome) => {
      const settlement = await end(send, outcome)
      const { settled, row } = settlement
      // If the answer of the store was lost, the row has the end already when the outcome is offered again.
      if (send.kind !== 'message' && undelivered.includes(settled ? outcome.state : row?.state)) report(send.id)
      return settlement
    }
  return {
    ...store,
    settle: reporting(store.settle),
    unqueue: reporting(store.unqueue),
    async takeDue(...args) {
      const taken = await store.takeDue(...args)
      for (const { id, kind } of taken.expired) if (kind === 'file') report(id)
      return taken
    },
  }
}
