import type { SendRef, SendState, Settlement, Store } from '../store/store.ts'

const undelivered: readonly (SendState | undefined)[] = ['rejected', 'not_sent', 'expired', 'canceled']

/** Wraps a store so that it reports each file send that ends undelivered: Afilnet does not fetch its files any more. */
export function reportingUndelivered(store: Store, report: (sendId: string) => void): Store {
  /** If the answer of the store was lost, the row has the end already when the outcome is offered again. */
  const reportUndelivered = ({ id, kind }: SendRef, state: SendState, { settled, row }: Settlement) => {
    if (kind !== 'message' && undelivered.includes(settled ? state : row?.state)) report(id)
  }
  return {
    ...store,
    async settle(send, outcome) {
      const settlement = await store.settle(send, outcome)
      reportUndelivered(send, outcome.state, settlement)
      return settlement
    },
    async unqueue(send, outcome) {
      const settlement = await store.unqueue(send, outcome)
      reportUndelivered(send, outcome.state, settlement)
      return settlement
    },
    async takeDue(...args) {
      const taken = await store.takeDue(...args)
      for (const { id, kind } of taken.expired) if (kind === 'file') report(id)
      return taken
    },
  }
}
