import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import { createConnector } from '../../afilnet/connector.ts'
import { type Check, daysUntil, soonDays } from './report.ts'

const section = 'network'

/**
 * Resolves the name of every server in these URLs, and checks its certificate.
 *
 * Behind a proxy, only the proxy has to know their names, and this machine often has no other way out.
 */
export async function checkNetwork(urls: readonly URL[], timeoutMs: number, proxyUrl?: URL): Promise<Check[]> {
  const servers = Array.from(new Map(urls.map(url => [url.origin, url])).values())
  const withinMs = Math.min(timeoutMs, 5_000)
  const checks = await Promise.all(
    proxyUrl
      ? [checkName(proxyUrl.hostname, withinMs), ...servers.map(url => checkBehindProxy(url, proxyUrl, withinMs))]
      : servers.map(url => checkServer(url, withinMs)),
  )
  return checks.flat()
}

async function checkServer(url: URL, withinMs: number): Promise<Check[]> {
  const name = await checkName(url.hostname, withinMs)
  if (url.protocol === 'http:') return [name, withoutTls(url)]
  if (name.verdict === 'broken')
    return [name, { section, check: 'TLS', verdict: 'skipped', detail: `${url.host}: not checked, since DNS has no address` }]
  return [name, await checkCertificate(url, () => openTls(url, withinMs))]
}

const withoutTls = ({ host }: URL): Check => {
  const detail = `${host}: not used, which is allowed for this machine and the sandbox`
  return { section, check: 'TLS', verdict: 'ok', detail }
}

/** Opens a tunnel to a server, and TLS in it. */
async function checkBehindProxy(url: URL, proxyUrl: URL, withinMs: number): Promise<Check[]> {
  const named = { section, check: 'proxy' }
  const { protocol, host, hostname } = url
  const port = url.port || (protocol === 'https:' ? '443' : '80')
  const target = `${hostname}:${port}`
  const opened = Promise.withResolvers<Socket>()
  createConnector(withinMs, proxyUrl)({ protocol, host, hostname: bare(hostname), port }, (...[error, socket]) =>
    error ? opened.reject(error) : opened.resolve(socket),
  )
  const failure = await opened.promise.then(
    () => undefined,
    (error: NodeJS.ErrnoException & { proxyStatus?: number; proxyFault?: unknown }) => error,
  )
  if (failure?.code === 'PROXY_TUNNEL_FAILED') {
    const { proxyStatus: http, proxyFault } = failure
    const fault = http === undefined ? codeOf(proxyFault) : undefined
    const [why, todo] = refusals[fault ?? ''] ?? []
    const shown = why ? `its own certificate ${why}` : fault
    const detail = shown ? `opened no tunnel to ${target} (${shown})` : `answered HTTP ${http} instead of opening a tunnel to ${target}`
    const skipped = `${host}: not checked, since there is no tunnel`
    return [
      { ...named, verdict: 'broken', detail, todo: todo ?? adviceForProxy(target, http), facts: { http, fault } },
      { section, check: 'TLS', verdict: 'skipped', detail: skipped },
    ]
  }
  const tunnel: Check = { ...named, verdict: 'ok', detail: `opened a tunnel to ${target}` }
  if (protocol !== 'http:') return [tunnel, await checkCertificate(url, () => opened.promise as Promise<TLSSocket>)] // https is TLS
  opened.promise.then(socket => socket.destroy()).catch(() => {})
  return [tunnel, withoutTls(url)]
}

function adviceForProxy(target: string, status: number | undefined) {
  if (status === undefined) return 'Check host and port in AFILNET_PROXY, and whether a firewall blocks this machine'
  if (status === 407 || status === 401) return 'Correct user and password in AFILNET_PROXY' // tinyproxy says 401
  return status < 500 ? `Have the proxy allow CONNECT to ${target}` : `Find out why the proxy cannot reach ${target}`
}

async function checkName(hostname: string, withinMs: number): Promise<Check> {
  const named = { section, check: 'DNS' }
  if (isIP(bare(hostname))) return { ...named, verdict: 'ok', detail: `${hostname}: an address, nothing to resolve` }
  const startedAt = performance.now()
  const late = sleep(withinMs, undefined, { ref: false })
  const found = await Promise.race([lookup(hostname, { all: true }).catch(codeOf), late])
  const ms = Math.round(performance.now() - startedAt)
  if (!Array.isArray(found)) {
    const why = found === undefined ? `no answer within ${withinMs} ms` : `no address (${found})`
    const todo = 'Check the host in the URL, and the name servers of this machine'
    return { ...named, verdict: 'broken', detail: `${hostname}: ${why}`, todo, facts: { ms } }
  }
  const count = (wanted: number) => found.filter(({ family }) => family === wanted).length
  const facts = { ms, ipv4: count(4), ipv6: count(6) }
  return { ...named, verdict: 'ok', detail: `${hostname}: ${facts.ipv4} IPv4 and ${facts.ipv6} IPv6 addresses in ${ms} ms`, facts }
}

const untrusted = [
  'is not signed by a CA that this machine trusts',
  'A proxy or an attacker may answer instead of that server. If it is your own proxy, set NODE_EXTRA_CA_CERTS to its CA',
] as const

/** Why a certificate is refused, by the error code of Node or OpenSSL. */
const refusals: Record<string, readonly [detail: string, todo: string]> = {
  CERT_HAS_EXPIRED: [
    'has expired',
    'Ask the operator of that server to renew it. If it has not expired, correct the clock of this machine',
  ],
  CERT_NOT_YET_VALID: ['is not valid yet', 'Correct the clock of this machine'],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'is for another host',
    'Correct the URL. If it is right, a proxy or an attacker answers instead of that server',
  ],
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
}
const noTls = 'Check the port in the URL, and whether a firewall blocks this machine'

/** Opens a TLS connection as the gateway does. */
async function openTls({ hostname, port }: URL, withinMs: number): Promise<TLSSocket> {
  const name = bare(hostname)
  const socket = connect({ host: name, port: Number(port || 443), ...(!isIP(name) && { servername: name }), minVersion: 'TLSv1.2' })
  socket.on('error', () => {}) // also after the wait below
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(withinMs) })
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Looks at the certificate of a connection on which nothing is sent. */
async function checkCertificate({ host }: URL, open: () => Promise<TLSSocket>): Promise<Check> {
  const named = { section, check: 'TLS' }
  try {
    const socket = (await open()).on('error', () => {})
    const protocol = socket.getProtocol()
    const daysLeft = daysUntil(socket.getPeerCertificate().valid_to)
    socket.destroy()
    const detail = `${host}: ${protocol}, trusted, ${daysLeft} days left on the certificate`
    const found = { ...named, detail, facts: { protocol, daysLeft } }
    if (daysLeft >= soonDays) return { ...found, verdict: 'ok' }
    return { ...found, verdict: 'warning', todo: 'Ask the operator of that server to renew it: once it has expired, every call fails' }
  } catch (error) {
    const fault = codeOf(error)
    const [why, todo] = refusals[fault] ?? []
    const detail = why ? `its certificate ${why}, so the gateway refuses it` : `a TLS connection could not be opened (${fault})`
    return { ...named, verdict: 'broken', detail: `${host}: ${detail}`, todo: todo ?? noTls, facts: { fault } }
  }
}

const bare = (hostname: string) => hostname.replace(/^\[(.*)\]$/, '$1')

/** The code of a system error; its message may contain anything. */
function codeOf(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException // what Node's own functions reject with
  return name === 'AbortError' ? 'timeout' : /^[A-Z0-9_]{1,64}$/.test(String(code)) ? String(code) : 'unknown'
}
