import type { LedgerClock } from '../clock.ts'
import { archiveOf, type Deliveries, type FailedDelivery } from '../deliveries.ts'
import { deliveryScripts as scripts } from './delivery-scripts.ts'
import { pairsOf } from './rows.ts'
import type { Session } from './session.ts'

const slice = 200

/** Webhooks on a server. */
export function createDeliveries({ read, members, writeBeside: write }: Session, clock: LedgerClock): Deliveries {
  const deliveries: Deliveries = {
    async webhook(name) {
      const [account, state, flat] = (await read(scripts.webhook, name)) as [string | null, string | null, string[]]
      const left = pairsOf(flat).filter(([id]) => id !== 'last')
      const requests = left.map(([id, request]) => ({ id: Number(id), request })).sort((a, b) => a.id - b.id)
      return { ...(account !== null && state !== null && { saved: { account, state } }), requests }
    },
    async save(name, lease, { saved, failed, cleared, clearedAfter = '', handled }) {
      const head = [name, lease.name, lease.fence, saved.account, saved.state, handled, clearedAfter, cleared.length]
      const [done] = await write(scripts.save, ...head, ...cleared, ...failed.flatMap(flat))
      return done === 1
    },
    async request(name, request) {
      await write(scripts.request, name, request)
    },
    async failed(name, after, limit) {
      const rows = (await read(scripts.failed, name, after, limit)) as string[]
      return rows.map(row => JSON.parse(row) as FailedDelivery) // as `save` wrote it
    },
    async deleteFailed(keepMs) {
      const { mayDelete, trusted } = clock.read()
      if (!mayDelete) return 0
      let gone = 0
      for (const name of await members('webhooks')) {
        for (let after = '-1'; after !== ''; ) {
          const [some, next] = await write(scripts.deleteFailed, name, trusted - keepMs, trusted + keepMs, after)
          gone += Number(some)
          after = String(next)
        }
      }
      return gone
    },
    dumpWebhooks: async () => archiveOf(await members('webhooks'), deliveries),
    async loadWebhook({ name, account, state, failed }) {
      const [loaded] = await write(scripts.load, name, account, state, ...failed.flatMap(flat))
      return loaded === 1
    },
  }
  return deliveries
}

const flat = (row: FailedDelivery): [number, string] => [row.position, JSON.stringify(row)]

/** Erases what webhooks failed to deliver of a destination. */
export async function forgetDeliveries({ members, writeBeside: write }: Session, destination: string) {
  for (const name of await members('webhooks')) {
    for (let after = '-1'; after !== ''; ) after = String((await write(scripts.forgetFailed, name, destination, after, slice))[0])
  }
}
