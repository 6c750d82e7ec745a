import { namesOf } from '../../access.ts'
import type { MediaPlace } from '../../media/place.ts'
import { StoreUnavailableError } from '../../store/store.ts'
import { CommandError, type Ledger, type Print } from './ledger.ts'
import { forgetMedia } from './media.ts'

/** Erases every send to a destination, and the files uploaded for it; resolves with whether nothing of it is left. */
export async function forget(ledger: Ledger, destination: string, place: MediaPlace, print: Print): Promise<boolean> {
  await ledger.expireLeases().catch(ledger.fail) // sends that a dead gateway left pending could not be erased
  const files = await forgetMedia(ledger, destination, place) // first: `forget` removes the traces of their rows, too
  const sum = { gone: 0, pending: 0 }
  for (const name of namesOf(undefined, destination)) {
    const { gone, pending } = await ledger.forget(name).catch(error => ledger.fail(unfinished(error)))
    sum.gone += gone
    sum.pending += pending
  }
  const { gone, pending } = sum
  await print(`gone      ${gone}\npending   ${pending}\n${files > 0 ? `files     ${files}\n` : ''}`)
  if (pending > 0)
    await print('Pending sends are not erased. They end within the time of one call to Afilnet: run the command again then.\n')
  return pending === 0
}

function unfinished(error: unknown): unknown {
  if (!(error instanceof StoreUnavailableError) || error.cause !== 'busy') return error
  return new CommandError(
    'the sends may be gone, but traces of them are left in the file, since other processes use it. Run the command again; if the file has more than 64 MB, stop every gateway first',
  )
}
