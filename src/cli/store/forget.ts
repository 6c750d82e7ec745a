import { StoreUnavailableError } from '../../store/store.ts'
import { CommandError, type Ledger, type Print } from './ledger.ts'

/** Erases all that was sent to a destination; resolves with whether nothing of it is left. */
export async function forget(ledger: Ledger, destination: string, print: Print): Promise<boolean> {
  await ledger.expireLeases() // what a gateway that died has left pending would stay for ever where none runs
  const { gone, pending } = await ledger.forget(destination).catch(unfinished)
  await print(`gone      ${gone}\npending   ${pending}\n`)
  if (pending > 0) await print('Pending sends stay until they have ended, at most for the time of one call: run it again then.\n')
  return pending === 0
}

function unfinished(error: unknown): never {
  if (!(error instanceof StoreUnavailableError) || error.cause !== 'busy') throw error
  throw new CommandError(
    'the sends may be gone, but traces of them are left in the file, since others use it. Run it again; if it has more than 64 MB, while no gateway runs',
  )
}
