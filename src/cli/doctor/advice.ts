import type { Fault } from '../../afilnet/faults.ts'
import { catalogue, type ProblemCode } from '../../problem/catalogue.ts'

/** What the operator can do about a failed call, by the code that callers get. */
const adviceByCode: Record<string, string> = {
  'upstream-credentials-rejected':
    'Correct user and password of this account. The doctor asked once only, so that Afilnet does not lock the account',
  'upstream-contract-mismatch': 'Report this with the output of --json: Afilnet differs from its manual',
  'upstream-out-of-credit': 'Top up the account at Afilnet',
  'upstream-unknown-error': 'Ask Afilnet what the code means, and report it with the output of --json',
  'upstream-redirect': 'Correct the URL. The gateway follows no redirect, since it would send the password to the new address',
  'upstream-error': 'Check the URL. If it is right, Afilnet has a problem',
  'upstream-invalid-response':
    'Check the URL, and whether a proxy answers instead of Afilnet. If not, report this with the output of --json',
  'upstream-response-too-large': 'Raise AFILNET_MAX_RESPONSE_BYTES',
  'upstream-rate-limited': 'Wait, and ask Afilnet for its limits',
  'upstream-unreachable': 'Check the lines of the network above, and whether a firewall blocks this machine',
  'upstream-timeout': 'Raise AFILNET_TIMEOUT_MS, or try again later',
  'upstream-connection-lost': 'Try again. If it happens again, a proxy or firewall cuts connections, or Afilnet has a problem',
}

export const adviceFor = (code: string): string => adviceByCode[code] ?? adviceByCode['upstream-unknown-error'] ?? ''

/** What a failed call is called. A test holds every fault to the catalogue. */
export const titleOf = ({ code }: Fault): string => catalogue[code as ProblemCode].title

/** Afilnet refused a channel or chat that it had listed itself. */
export const contradiction = 'Report this with the output of --json: Afilnet refuses a channel or chat that its own list contains'
