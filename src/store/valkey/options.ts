import type { ServerPlace } from '../url.ts'

/** If answers are due and the server is silent for this long, the gateway reconnects; calls fail at once meanwhile. */
export const usualSilentMs = 1_000

/** A connection that lasted this long was established: a failed attempt takes less, including the wait before it. */
const lastedMs = 5_000

/** handshake() does what ioredis would check, which writes to stderr. */
const quiet = { enableReadyCheck: false, disableClientInfo: true, connectTimeout: 2_000 }

/** The options of ioredis for a server; none of its own features may repeat or delay a claim. */
export function optionsOf({ kind: _, tls, hosts: [first, ...others], master, ...dbAndCredentials }: ServerPlace, silentMs = usualSilentMs) {
  const at = { host: 'localhost', ...first }
  return {
    ...(master === undefined
      ? { ...at, ...(tls && { tls: {} }) }
      : { sentinels: [at, ...others], name: master, ...(tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }) }),
    ...dbAndCredentials, // by the names that ioredis has for them
    // Nothing is kept for later or sent twice: the caller has had an answer by then
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    sentinelCommandTimeout: 500,
    disconnectTimeout: 100,
    socketTimeout: 1.5 * silentMs, // for what is asked on the way to being up; later listen() is quicker
    retryStrategy: createBackOff(),
    reconnectOnError: ({ message }: Error) => /^(READONLY|UNBLOCKED)\b/.test(message), // another one is the primary now
    ...quiet,
  }
}

/**
 * How long to wait before each reconnection: longer each time, until a connection lasts.
 *
 * ioredis resets its own count with each TCP connection, even if the server then refuses the password or closes it.
 */
export function createBackOff(now = () => performance.now()) {
  let times = 0
  let latest = Number.NEGATIVE_INFINITY
  return () => {
    times = now() - latest < lastedMs ? times + 1 : 1
    latest = now()
    return Math.min(times * 50, 1_000)
  }
}

/** The options of ioredis to listen to each Sentinel of a server; none if it has no Sentinels. */
export function sentinelOptionsOf({ tls, hosts, master, sentinelUsername: username, sentinelPassword: password }: ServerPlace) {
  const credentials = { ...(username !== undefined && { username }), ...(password !== undefined && { password }) }
  const options = { ...(tls && { tls: {} }), ...credentials, ...quiet, retryStrategy: () => 1_000 }
  return master === undefined ? [] : hosts.map(at => ({ ...at, ...options }))
}
