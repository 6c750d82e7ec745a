import { type StoreFault, within } from '../store.ts'
import type { ServerPlace } from '../url.ts'
import { connect } from './connection.ts'
import type { ServerReport } from './server-report.ts'

const openMs = 2_000

/** What a server says of itself, or why it cannot be asked; changes nothing. */
export async function peekValkey(place: ServerPlace): Promise<ServerReport | StoreFault> {
  const seen = Promise.withResolvers<ServerReport>()
  const connection = connect(place, { onReady: seen.resolve })
  try {
    const fault = await within(openMs, connection.opened)
    return fault ?? (await within(1, seen.promise).catch((): StoreFault => 'readonly')) // its report has come by now, or never does
  } catch {
    return 'away'
  } finally {
    connection.close()
  }
}
