import { createConnector } from './connector.ts'
import type { TokenReport } from './faults.ts'
import type { JsonOptions } from './json/protocol.ts'
import type { Protocol } from './protocol.ts'
import type { SoapService } from './soap/service.ts'
import { TransportError } from './transport-error.ts'
import type { TransportName } from './transports.ts'

/** What an account says of its transport. */
type TransportSettings = {
  transport: TransportName
  url: URL
  user: string
  password: string
  wsdl?: URL
  wsdlDigest?: string
} & Partial<Pick<JsonOptions, 'tokenUrl' | 'clientId' | 'clientSecret' | 'scope' | 'grant' | 'jsonStyle'>>

type Modules = { json?: typeof import('./json/protocol.ts'); soap?: typeof import('./soap/protocol.ts') }

/** Descriptions that no account needs any more, or not yet. */
const maxUnused = 8

const keyOf = ({ wsdl, wsdlDigest, url }: TransportSettings) => [wsdl, wsdlDigest, url].join(' ')

/** The transports json and soap: neither their modules nor a WSDL is read unless an account asks for it. */
export class PreparedTransports {
  readonly #timeoutMs: number
  readonly #proxyUrl: URL | undefined
  readonly #modules: Modules = {}
  #turn = 0
  readonly #services = new Map<string, SoapService>()

  constructor({ timeoutMs, proxyUrl }: { timeoutMs: number; proxyUrl?: URL | undefined }) {
    this.#timeoutMs = timeoutMs
    this.#proxyUrl = proxyUrl
  }

  /** Runs `apply` at once if there is nothing to read for these accounts, else afterwards, unless other accounts have taken their place. */
  whenReady(accounts: Record<string, TransportSettings>, apply: () => void): void | Promise<void> {
    const turn = ++this.#turn
    if (Object.values(accounts).every(account => this.#isReady(account))) return apply()
    return this.prepare(accounts).then(() => {
      if (turn === this.#turn) apply()
    })
  }

  /** Reads what these accounts need; throws a `TransportError` that names the account. */
  async prepare(accounts: Record<string, TransportSettings>): Promise<void> {
    await Promise.all(
      Object.entries(accounts).map(([name, account]) =>
        this.#prepare(account).catch((error: unknown) => {
          if (!(error instanceof TransportError)) throw error
          throw new TransportError(`account ${name}: ${error.message}`, error)
        }),
      ),
    )
    const keys = new Set(Object.values(accounts).map(keyOf))
    for (const key of this.#services.keys()) if (this.#services.size > keys.size + maxUnused && !keys.has(key)) this.#services.delete(key)
  }

  /** How an account is called; `undefined` for the transports that need nothing. */
  open(account: TransportSettings, onToken?: (report: TokenReport) => void): Protocol | undefined {
    const { transport, user, password } = account
    const { json, soap } = this.#modules
    if (transport === 'json' && json) return json.createJsonProtocol({ ...complete(account), ...this.#limits(), onToken })
    const service = this.serviceOf(account)
    return service && soap ? soap.createSoapProtocol(service, { user, password }) : undefined
  }

  /** What the WSDL of an account says. */
  serviceOf(account: TransportSettings): SoapService | undefined {
    return account.transport === 'soap' ? this.#services.get(keyOf(account)) : undefined
  }

  #isReady(account: TransportSettings) {
    if (account.transport === 'soap') return false // whether XML can carry its password is known once it is prepared
    return account.transport !== 'json' || this.#modules.json !== undefined
  }

  async #prepare(account: TransportSettings) {
    if (account.transport === 'json') this.#modules.json ??= await import('./json/protocol.ts')
    if (account.transport !== 'soap' || !account.wsdl) return
    this.#modules.soap ??= await import('./soap/protocol.ts')
    const key = keyOf(account)
    if (!this.#services.has(key)) {
      const { openService } = await import('./soap/service.ts')
      const url = account.url.href === account.wsdl.href ? undefined : account.url
      this.#services.set(key, await openService(account.wsdl, { ...this.#limits(), url }))
    }
    this.open(account) // throws if the password cannot be written
  }

  #limits() {
    return { connect: createConnector(Math.min(this.#timeoutMs, 5_000), this.#proxyUrl), timeoutMs: this.#timeoutMs }
  }
}

/** The configuration has these, or does not load. */
function complete({ tokenUrl, clientId, clientSecret, grant = 'client_credentials', jsonStyle = 'body', ...account }: TransportSettings) {
  if (!tokenUrl || clientId === undefined || clientSecret === undefined) throw new TransportError('OAuth 2.0 is not configured')
  return { ...account, tokenUrl, clientId, clientSecret, grant, jsonStyle }
}
