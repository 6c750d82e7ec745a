import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { createAdmin, isLoopbackHost } from './admin.ts'
import { baseOf, createApp, type Timeouts } from './app.ts'
import { type Config, storePolicyOf, warningsOf } from './config/config.ts'
import { watchConfig } from './config/watch.ts'
import { createLifecycle } from './lib/lifecycle.ts'
import type { State } from './routes/health.ts'
import { Sends } from './sends/sends.ts'
import { openStore } from './store/open.ts'
import { timed } from './store/timed.ts'
import { createObserver } from './telemetry/log-lines.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { createUpstream } from './upstream/upstream.ts'

/** A gateway that listens. */
export type Gateway = {
  /** Where it listens, with the port that it really got. */
  url: string
  /** Where the operator looks in; none if its port was not asked for and is taken. */
  adminUrl: string | undefined
  /** Applies the accounts, the callers and the collector's headers of another configuration; the rest needs a restart. */
  reload(config: Config): void
  /** Reloads the configuration when the content of one of its files changes; returns a function that reloads at once. */
  watch(read: () => Config, pollMs?: number): () => void
  /** Leaves without losing an accepted request: not ready, then no new requests, then the end, all within `DRAIN_MS`. */
  drain(): Promise<void>
}

/** A busy disk is worth a wait, however little time Afilnet is given: what cannot be written down is told as unknown. */
const leastStoreMs = 2_000

/** Opens the ledger, the pools and the public listener of a configuration. */
export async function startGateway(config: Config, logger: FastifyBaseLogger, timeouts?: Partial<Timeouts>): Promise<Gateway> {
  let storeOk = true
  let storeLost = () => {}
  const lifecycle = createLifecycle()
  const metrics = createMetrics({
    accounts: () => upstream.report(),
    storeOk: () => storeOk,
    requestsInFlight: () => lifecycle.unanswered,
  })
  const observe = createObserver(logger, metrics)
  const store = timed(
    await openStore(config.storeUrl, {
      ...storePolicyOf(config),
      onState(ok, fault) {
        storeOk = ok
        if (!ok) storeLost()
        observe('storeStateChanged', { ok, fault })
      },
      onWarning: warning => logger.warn(warning),
    }),
    (verb, ms) => observe('storeAnswered', { verb, ms }),
  )
  const base = baseOf(config)
  // Not one module of OpenTelemetry is loaded unless it is asked for.
  const tracing = config.tracing && (await import('./telemetry/tracing.ts')).startTracing(config.tracing, config.trustProxy, logger)
  const upstream = createUpstream({ ...config, observe, around: tracing?.around })
  const sends = new Sends({ store, base, observe, timeoutMs: Math.max(config.timeoutMs, leastStoreMs) })
  storeLost = () => sends.storeLost()
  const state = (): State => {
    const { sandbox, credentialsRejected } = upstream.state()
    return { store: storeOk ? 'ok' : 'unavailable', credentials: credentialsRejected ? 'rejected' : 'ok', ...(sandbox && { sandbox }) }
  }
  const app = await createApp({
    config,
    upstream,
    sends,
    state,
    count: store.count,
    logger,
    observe,
    lifecycle,
    timeouts,
    tracing: tracing?.plugin,
  })
  metrics.begin(app.routes)
  await app.listen({ host: config.host, port: config.port, listenTextResolver: () => 'listening' })
  const { reportCallers } = app
  const admin = await createAdmin({ metrics, reportCallers, reportAccounts: upstream.report, host: config.adminHost, logger, observe })
  const adminListens = await listenForAdmin(admin, config, logger).catch(async error => {
    app.server.closeAllConnections()
    await app.close()
    throw error
  })
  let stopWatching = () => {}

  /** What was accepted last has its whole budget: the delay gives way where DRAIN_MS has no room for both. */
  const callMs = config.timeoutMs + 1_000

  async function drain() {
    const startedAt = performance.now()
    lifecycle.phase = 'leaving'
    await sleep(Math.min(config.drainDelayMs, config.drainMs - callMs))
    lifecycle.phase = 'draining'
    const deadline = startedAt + config.drainMs
    // The server closes a connection as idle as soon as its answer is written, even if the caller has yet to take it.
    while (lifecycle.unanswered > 0 && performance.now() < deadline) await sleep(20)
    // Who is connected now has no whole request here: it is half sent, or refused and still being sent.
    const end = setTimeout(() => app.server.closeAllConnections(), Math.min(1_000, Math.max(0, deadline - performance.now())))
    await app.close()
    clearTimeout(end)
    stopWatching()
    // A send goes on without its caller, who is not waited for above.
    await Promise.race([sends.idle(), sleep(Math.max(0, deadline - performance.now()), undefined, { ref: false })])
    await upstream.close()
    await sends.stop()
    const flushed = tracing?.stop(Math.min(1_000, Math.max(0, deadline - performance.now())))
    await store.close()
    await admin.close()
    await flushed
  }

  function reload({ accounts, callers, tracing: next }: Config) {
    upstream.reload(accounts)
    app.useCallers(callers)
    if (next) tracing?.useHeaders(next.headers)
  }

  function watch(read: () => Config, pollMs?: number) {
    const watching = watchConfig({
      config,
      read,
      ...(pollMs !== undefined && { pollMs }),
      applied(next, changes) {
        reload(next)
        observe('configurationReloaded', changes)
        for (const warning of warningsOf(next)) logger.warn(warning)
      },
      refused({ issues }) {
        observe('configurationReloadFailed', { issues })
      },
    })
    stopWatching = watching.stop
    return watching.reload
  }

  return { url: urlOf(app), adminUrl: adminListens ? urlOf(admin) : undefined, reload, watch, drain }
}

/** Where a server listens, with the port that it really got. */
function urlOf({ server }: FastifyInstance) {
  const { address, family, port } = server.address() as AddressInfo // a TCP listener has one
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

const usualAdminPort = 3001

/** A port that was not asked for must not keep the gateway from starting. */
async function listenForAdmin(admin: FastifyInstance, { adminHost: host, adminPort }: Config, logger: FastifyBaseLogger): Promise<boolean> {
  try {
    await admin.listen({ host, port: adminPort ?? usualAdminPort })
  } catch (error) {
    if (adminPort !== undefined || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error // node:net throws nothing else
    logger.warn({ port: usualAdminPort }, 'admin port in use, starting without the admin listener; set ADMIN_PORT to another port')
    return false
  }
  if (!isLoopbackHost(host)) logger.warn({ host }, 'admin listener reachable from other machines; it requires no key')
  return true
}

/** Asks a plain-http upstream, which can only be a local one, whether it is the sandbox. No credential is sent. */
export async function isSandbox({ accounts }: Config): Promise<boolean> {
  const local = Object.values(accounts).find(({ url }) => url.protocol === 'http:')
  if (!local) return false
  const answer = await fetch(local.url.origin, { redirect: 'manual', signal: AbortSignal.timeout(500) }).catch(() => undefined)
  await answer?.body?.cancel()
  return answer?.headers.get('x-sandbox') === 'true'
}
