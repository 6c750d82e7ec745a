import type { ServerPlace } from '../url.ts'

/** If answers are due and the server is silent for this long, the gateway reconnects; calls fail at once meanwhile. */
export const silentMs = 1_000

/** handshake() does what ioredis would check, which writes to stderr. */
const quiet = { enableReadyCheck: false, disableClientInfo: true, connectTimeout: 2_000 }

/** The options of ioredis for a server; none of its own features may repeat or delay a claim. */
export function optionsOf({ kind: _, tls, hosts: [first, ...others], master, ...dbAndCredentials }: ServerPlace) {
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
    retryStrategy: (times: number) => Math.min(times * 50, 1_000),
    reconnectOnError: ({ message }: Error) => /^(READONLY|UNBLOCKED)\b/.test(message), // another one is the primary now
    ...quiet,
  }
}

/** The options of ioredis to listen to each Sentinel of a server; none if it has no Sentinels. */
export function sentinelOptionsOf({ tls, hosts, master, sentinelUsername: username, sentinelPassword: password }: ServerPlace) {
  const credentials = { ...(username !== undefined && { username }), ...(password !== undefined && { password }) }
  const options = { ...(tls && { tls: {} }), ...credentials, ...quiet, retryStrategy: () => 1_000 }
  return master === undefined ? [] : hosts.map(at => ({ ...at, ...options }))
}
