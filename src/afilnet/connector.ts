import type { Socket } from 'node:net'
import { buildConnector, Client } from '../lib/undici.ts'

/** Opens a connection to Afilnet: TLS sessions and the way through a proxy are shared by all connections of an account. */
export type Connector = ReturnType<typeof buildConnector>

/** Connects directly, or through a CONNECT tunnel of the proxy. */
export function createConnector(timeoutMs: number, proxyUrl?: URL): Connector {
  const tls = { timeout: timeoutMs, allowH2: false, rejectUnauthorized: true, minVersion: 'TLSv1.2', autoSelectFamily: true } as const
  const connect = buildConnector(tls)
  return proxyUrl ? throughProxy(proxyUrl, connect, timeoutMs) : connect
}

/** The credentials leave for the proxy only, and no error that comes back quotes the URL. */
function throughProxy(proxyUrl: URL, connect: Connector, timeoutMs: number): Connector {
  const { username, password, origin } = proxyUrl
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')
  const authorization = username || password ? { 'proxy-authorization': `Basic ${credentials}` } : {}

  async function openTunnel(target: string): Promise<Socket> {
    const proxy = new Client(origin, { connect, pipelining: 1, headersTimeout: timeoutMs })
    let proxyStatus: number | undefined
    let proxyFault: unknown
    try {
      const { socket, statusCode } = await proxy.connect({ path: target, headers: { host: target, ...authorization } })
      if (statusCode === 200) return socket as Socket // an HTTP proxy is reached over TCP or TLS
      proxyStatus = statusCode
      socket.on('error', () => {}).destroy()
    } catch (error) {
      proxyFault = error // undici would retry a lost connection endlessly; the error below ends the call
    } finally {
      void proxy.close()
    }
    throw Object.assign(new Error('the proxy opened no tunnel'), { code: 'PROXY_TUNNEL_FAILED', proxyStatus, proxyFault })
  }

  return (options, callback) => {
    const { hostname, port, protocol } = options
    const host = hostname.includes(':') ? `[${hostname}]` : hostname
    openTunnel(`${host}:${port || (protocol === 'https:' ? 443 : 80)}`).then(
      socket => (protocol === 'https:' ? connect({ ...options, httpSocket: socket }, callback) : callback(null, socket)),
      error => callback(error, null),
    )
  }
}
