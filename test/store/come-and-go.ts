import type { OpenedStore } from '../../src/store/adapter.ts'
import type { NewSend } from '../../src/store/store.ts'
import { created } from './event-contract.ts'
import { file } from './media-contract.ts'
import { ended, policy, send } from './sends.ts'

/** Sends, queued sends, events, files and a lease that come, change and are gone at the end; the clock is at 1_000. Gives the lease. */
export async function comeAndGo(store: OpenedStore, clock: { ms: number }) {
  const { log, media, leases } = store
  const queue = async (over: Partial<NewSend> = {}) => {
    const row = send({ dueAt: 1_000, expiresAt: 9_000, ...over })
    await store.claim(row, undefined, 'key.body')
    return row
  }
  const sent = send({ textDigest: 'd', destination: '+34 600 00 00 00', idempotencyKey: 'k', reference: 'r' })
  await store.claim(sent)
  await store.settle(sent, ended('unknown'))
  await store.note(sent, { messageId: '1', deliveryStatus: 'SENT', deliveryAt: 1 })
  await store.note(sent, { messageId: '1', deliveryStatus: 'UNDELIVERED', deliveryAt: 2 })
  const first = await queue()
  await queue() // expires
  await store.unqueue(await queue(), ended('canceled'))
  await queue({ destination: '34600000001' })
  await store.takeDue('first', 1)
  await store.requeue(first, 1_000, 1)
  await store.holdQueue()
  await store.releaseQueue()
  await store.takeDue('first', 1)
  await store.settle(first, ended('accepted'))
  for (const account of ['main', 'other']) await log.open(account)
  const known = (state: string | null) => ['34600000000', '34600000001'].map(destination => ({ key: destination, destination, state }))
  await log.append('other', { states: known('first'), events: [created('1'), created('2', { destination: '34600000001' })] })
  await log.append('other', { states: known('second, and longer').slice(1), events: [] })
  for (const row of [file({ id: 'own' }), file({ id: 'of-a-send', sendId: 's' })]) await media.add(row, 1_000)
  await media.removeOf('s')
  await media.remove(['own'])
  const name = 'webhook:crm'
  const lease = { name, fence: (await leases.acquire(name, 'a', 60_000)) ?? 0 }
  await leases.release(name, lease.fence)
  await store.forget('34600000001')
  clock.ms += policy.keepUnknownMs + 8 * 86_400_000
  await store.takeDue('first', 1)
  clock.ms += policy.keepUnknownMs
  await store.deleteExpired()
  await store.release('first')
  await log.trim(0)
  await log.trim(0)
  return lease
}
