import type { MediaPlace } from '../../media/place.ts'
import { sendStates } from '../../store/store.ts'
import { countEvents } from './events.ts'
import { type Ledger, type Print, pagesOf } from './ledger.ts'
import { checkMedia } from './media.ts'

/** Looks for damage, then counts every send and file; resolves with whether there is no damage, and each file has its bytes. */
export async function check(ledger: Ledger, place: MediaPlace, print: Print): Promise<boolean> {
  const { problems, bytes } = await ledger.check().catch(ledger.fail)
  await print(`size        ${(bytes / 1_048_576).toFixed(1)} MB\nproblems    ${problems.join('\n            ') || 'none'}\n`)

  const counts = new Map(sendStates.map(state => [state, 0]))
  let [sends, oldest, newest] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for await (const page of pagesOf(ledger)) {
    sends += page.length
    for (const { state, createdAt } of page) {
      counts.set(state, (counts.get(state) ?? 0) + 1)
      oldest = Math.min(oldest, createdAt)
      newest = Math.max(newest, createdAt)
    }
  }
  await print(`sends       ${sends}\n${Array.from(counts, ([state, count]) => `  ${state.padEnd(10)}${count}\n`).join('')}`)
  if (sends > 0) await print(`oldest      ${new Date(oldest).toISOString()}\nnewest      ${new Date(newest).toISOString()}\n`)
  const found = await countEvents(ledger)
  if (found) await print(`events      ${found.events}\n  known     ${found.conversations} conversations\n`)
  const webhooks = await ledger.deliveries.dumpWebhooks().catch(ledger.fail)
  const failed = webhooks.reduce((sum, webhook) => sum + webhook.failed.length, 0)
  if (webhooks.length > 0) await print(`webhooks    ${webhooks.length}\n  failed    ${failed} deliveries\n`)
  const isComplete = await checkMedia(ledger, place, print)
  return isComplete && problems.length === 0
}
