import type { TokenReport } from '../../afilnet/faults.ts'
import type { PreparedTransports } from '../../afilnet/prepared-transports.ts'
import type { SoapService } from '../../afilnet/soap/service.ts'
import { TransportError } from '../../afilnet/transport-error.ts'
import type { AccountConfig } from '../../config/account.ts'
import { titleOf } from './advice.ts'
import type { Line } from './wire-line.ts'

/** Reads the WSDL of an account, where its transport has one, and says what it offers. */
export async function prepareTransport(transports: PreparedTransports, account: string, config: AccountConfig): Promise<Line[]> {
  try {
    await transports.prepare({ [account]: config })
  } catch (error) {
    if (!(error instanceof TransportError)) throw error
    const todo = error.isTemporary
      ? 'Check the lines of the network above. Or save the WSDL as a file and name that in AFILNET_WSDL'
      : 'Correct AFILNET_WSDL: the gateway does not start with it. A copy of the WSDL in a file can be corrected'
    return [{ check: 'WSDL', verdict: 'broken', detail: error.message, todo }]
  }
  const service = transports.serviceOf(config)
  return service ? [describeService(service)] : []
}

function describeService({ url, operations, hasCredentials }: SoapService): Line {
  const offered = [...operations.values()].map(({ name, parts }) => `${name}(${parts.join(', ')})`)
  const credentials = hasCredentials ? 'user and password are parameters' : 'user and password travel by HTTP Basic'
  const detail = `${offered.join(', ')}; address ${url.origin}${url.pathname}; ${credentials}`
  const facts = { operations: Object.fromEntries([...operations].map(([method, { name, parts }]) => [method, { name, parts }])) }
  return { check: 'WSDL', verdict: 'ok', detail, facts }
}

/** How a request for a token ended; never the token. */
export function describeToken({ ms, lifetimeS, fault, status, oauthError, networkError }: TokenReport): Line {
  const facts = { ms: Math.round(ms), lifetimeS, http: status, oauthError, networkError }
  if (!fault) {
    const lifetime = lifetimeS === undefined ? 'without a lifetime: it is kept until Afilnet refuses it' : `valid for ${lifetimeS} s`
    return { check: 'token', verdict: 'ok', detail: `received after ${facts.ms} ms, ${lifetime}`, facts }
  }
  const parts = [status === undefined ? 'no answer' : `HTTP ${status}`, oauthError ?? networkError].filter(Boolean).join(', ')
  const isRejected = fault.code === 'upstream-credentials-rejected'
  const todo = isRejected
    ? 'Correct the client id and secret, or user and password. The doctor asked once only'
    : 'Check AFILNET_TOKEN_URL, the grant and the scopes'
  return { check: 'token', verdict: 'broken', detail: `not received after ${facts.ms} ms (${parts}): ${titleOf(fault)}`, todo, facts }
}
