// Longer than 200 lines, because it shows all parts of the process, and the order in which they start and end.
import type { KeyObject } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { createAdmin, listenForAdmin } from './admin.ts'
import { PreparedTransports } from './afilnet/prepared-transports.ts'
import { type AppOptions, baseOf, createApp, type Timeouts, usualTimeouts } from './app.ts'
import { type Config, storePolicyOf } from './config/config.ts'
import { warningsOf, warningsOfChange } from './config/describe.ts'
import { watchConfig } from './config/watch.ts'
import { createDeadline } from './lib/deadline.ts'
import { createLifecycle } from './lib/lifecycle.ts'
import { loadOnce } from './lib/load-once.ts'
import type { PollerHooks } from './live/ports.ts'
import { reportingUndelivered } from './media/undelivered.ts'
import { createLedgerHealth, type LedgerHealth } from './parts/ledger.ts'
import { type LivePart, openLive } from './parts/live.ts'
import { startMedia } from './parts/media.ts'
import { connectPollers } from './parts/pollers.ts'
import { connectQueue, endQueueWithoutKey, type Queue } from './parts/queue.ts'
import { connectReadBack } from './parts/read-back.ts'
import { connectWebhooks } from './parts/webhooks.ts'
import { freeAddresses, listen } from './plugins/listeners.ts'
import type { State } from './routes/health.ts'
import { Sends } from './sends/sends.ts'
import { openStore } from './store/open.ts'
import type { Store } from './store/store.ts'
import { timed } from './store/timed.ts'
import { createObserver } from './telemetry/log-lines.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import type { Tracing } from './telemetry/tracing.ts'
import type { Tokens } from './tokens/tokens.ts'
import { createUpstream, type Upstream } from './upstream/upstream.ts'

/** A gateway that listens. */
export type Gateway = {
  /** Where it listens, with the port that it really got. */
  url: string
  /** The operator's listener; none if its port is the default one and in use. */
  adminUrl: string | undefined
  /** Applies the accounts, the callers and the collector's headers of another configuration; the rest needs a restart. */
  reload(config: Config): void | Promise<void>
  /** Reloads the configuration when the content of one of its files changes; returns a function that reloads at once. */
  watch(read: () => Config, pollMs?: number): () => void
  /**
   * Stops without losing an accepted request: not ready, then no new requests, then the end, all within `DRAIN_MS`.
   *
   * `false` if something did not end in time, such as a thread that waits for a disk: it would hold up the end of the process too.
   */
  drain(): Promise<boolean>
}

/** A slow disk gets this long, however short `AFILNET_TIMEOUT_MS` is: a send that cannot be recorded ends as unknown. */
const leastStoreMs = 2_000

/** Streams end one after the other, so that their consumers do not all come back at once. */
const maxSpreadMs = 2_000

/** What remains of `DRAIN_MS` for the last log lines, after everything is closed. */
const lastLinesMs = 250

type Parts = Awaited<ReturnType<typeof assemble>>

/** Opens the ledger, the connections to Afilnet and both listeners of a configuration. `droppedLines` counts what the log has lost. */
export async function startGateway(
  config: Config,
  logger: FastifyBaseLogger,
  timeouts?: Partial<Timeouts>,
  droppedLines: () => number = () => 0,
): Promise<Gateway> {
  // Before the ledger is migrated: a gateway that has one of the ports may be using it.
  await freeAddresses(config.host, config.port)
  if (config.adminPort !== undefined) await freeAddresses(config.adminHost, config.adminPort)
  const parts = await assemble(config, logger, { ...usualTimeouts, ...timeouts }, droppedLines)
  const { app, admin } = parts
  const adminListens = await listenOnBoth(parts)
  parts.startWork() // a send that was taken by a process that cannot listen would end as unknown
  await parts.pollers.start()
  await parts.webhooks.reload(config.webhooks)
  let stopWatching = () => {}

  return {
    url: urlOf(app),
    adminUrl: adminListens ? urlOf(admin) : undefined,
    reload: next => reload(parts, next),
    watch(read, pollMs) {
      const watching = watch(parts, read, pollMs)
      stopWatching = watching.stop
      return watching.reload
    },
    drain: () => drain(parts, () => stopWatching()),
  }
}

/** Makes every part and connects it with those that it needs; none listens yet. */
async function assemble(config: Config, logger: FastifyBaseLogger, timeouts: Timeouts, droppedLines: () => number) {
  const lifecycle = createLifecycle()
  const transports = new PreparedTransports(config)
  await transports.prepare(config.accounts)
  const metrics = createMetrics({
    accounts: () => upstream.report(),
    storeOk: () => ledger.isOk,
    ledgerChanged: () => ledger.isChanged,
    storeMaxBytes: storePolicyOf(config).maxBytes,
    requestsInFlight: () => lifecycle.unanswered,
    backlog: () => queue?.backlog(),
    droppedLines,
    polling: () => pollers.report(),
    delivery: () => live.current()?.report() ?? [],
    webhooks: () => webhooks.report(),
    media: () => media.report(),
  })
  const observe = createObserver(logger, metrics)
  const ledger = createLedgerHealth(observe)
  const { onState, onLedger } = ledger
  const onWarning = (warning: string) => logger.warn(warning)
  const opened = await openStore(config.storeUrl, { ...storePolicyOf(config), silentMs: timeouts.storeMs, onState, onLedger, onWarning })
  const { media, begin, stop } = startMedia({ config, ledger: opened.media, observe, ownUrl: () => listensAt(app), timeouts })
  const ending = reportingUndelivered(opened, sendId => void media.discardOf(sendId))
  const store = timed(ending, (verb, ms) => observe('storeAnswered', { verb, ms }))
  // No module of OpenTelemetry is loaded unless it is configured.
  const tracing = config.tracing && (await import('./telemetry/tracing.ts')).startTracing(config.tracing, config.trustProxy, logger)
  const upstream = createUpstream({ ...config, transports, observe, traceAttempt: tracing?.traceAttempt })
  const storeMs = Math.max(config.timeoutMs, leastStoreMs)
  const sends = new Sends({ store, base: baseOf(config), observe, timeoutMs: storeMs, claimMs: timeouts.storeMs })
  const live = await openLive({ config, store: opened, secret: store.secret, upstream, observe })
  const webhooks = connectWebhooks({ store: opened, live: live.current, observe })
  const holds = (account: string): boolean => pollers.holds(account)
  const readBack = connectReadBack({ ...config, store, sends, upstream, holds, observe, timeoutMs: storeMs })
  const hooks: PollerHooks = { ...readBack.hooks, remember: read => live.current()?.remember(read) }
  const pollers = connectPollers({ ...config, store: opened, secret: store.secret, upstream, hooks, observe, timeoutMs: storeMs })
  ledger.whenLost(() => {
    sends.secret.replaced()
    pollers.storeLost()
  })
  const keys = config.queueKeys
  const queue: Queue | undefined = keys && (await connectQueue({ ...config, keys, store, sends, upstream, observe, timeoutMs: storeMs }))
  const tokens = lazyTokens(() => sends.secret.readOrLast(ledger.isAway))
  /** Starts the queue, or ends what it holds, and the search for unknown sends. */
  function startWork() {
    if (queue) queue.start()
    else void endQueueWithoutKey({ store, sends, observe, timeoutMs: storeMs }).catch(() => {}) // the next start tries again
    if (config.readBack) readBack.start()
  }
  const parts = {
    config,
    logger,
    observe,
    lifecycle,
    store,
    transports,
    upstream,
    sends,
    readBack,
    queue,
    live,
    pollers,
    webhooks,
    tracing,
  }
  const { app, admin }: Servers = await createServers({ ...parts, tokens, media, ledger, metrics, timeouts })
  app.addHook('onListen', async () => begin())
  app.addHook('onClose', async () => stop())
  /** The reload of events and webhooks that is under way. */
  const reloading: Promise<void> = Promise.resolve()
  return { ...parts, app, admin, reloading, startWork }
}

type Servers = { app: FastifyInstance; admin: FastifyInstance }
type ServerParts = Omit<AppOptions, 'live' | 'webhooks' | 'seal' | 'state' | 'count' | 'tracing'> & {
  store: Store
  queue: Queue | undefined
  live: LivePart
  webhooks: ReturnType<typeof connectWebhooks>
  ledger: LedgerHealth
  metrics: Metrics
  tracing: Tracing | undefined
}

/** Makes the public server and the operator's. */
async function createServers(parts: ServerParts): Promise<Servers> {
  const { config, logger, observe, store, upstream, queue, live, webhooks, ledger, metrics, tracing } = parts
  const app = await createApp({
    ...parts,
    live: live.current,
    seal: queue?.seal,
    webhooks: webhooks.current,
    state: () => stateOf(upstream, ledger),
    count: store.count,
    tracing: tracing?.plugin,
  })
  metrics.begin(app.routes)
  const { reportCallers } = app
  const admin = await createAdmin({ metrics, reportCallers, reportAccounts: upstream.report, host: config.adminHost, logger, observe })
  return { app, admin }
}

/** How the gateway is, as `/health/ready` says it. */
function stateOf(upstream: Upstream, ledger: LedgerHealth): State {
  const { sandbox, credentialsRejected } = upstream.state()
  return { store: ledger.state(), credentials: credentialsRejected ? 'rejected' : 'ok', ...(sandbox && { sandbox }) }
}

/** Loads the room and its package with the first token. */
function lazyTokens(readSecret: () => Promise<KeyObject>): Tokens {
  const load = loadOnce(async () => (await import('./tokens/tokens.ts')).createTokens({ readSecret }))
  return {
    issue: async (...args) => (await load()).issue(...args),
    open: async (...args) => (await load()).open(...args),
  }
}

/** Listens on both ports; `false` if the admin port is the default one and in use. */
async function listenOnBoth({ app, admin, config, logger }: Parts): Promise<boolean> {
  try {
    await listen(app, config.host, config.port)
    return await listenForAdmin(admin, config, logger)
  } catch (error) {
    app.server.closeAllConnections()
    await app.close()
    throw error
  }
}

/** Applies a configuration at once, or as soon as a new WSDL has been read; one that cannot be read changes nothing. */
function reload(parts: Parts, config: Config): void | Promise<void> {
  const { logger, transports, upstream, readBack, queue, live, pollers, webhooks, app, tracing } = parts
  const { accounts, callers, tracing: next } = config
  const failed = (err: unknown) => logger.error({ err }, 'events and webhooks could not be reloaded: reload the configuration again')
  return transports.whenReady(accounts, () => {
    upstream.reload(accounts)
    pollers.useAccounts(accounts).catch(failed)
    readBack.useAccounts(accounts)
    app.useCallers(callers)
    // One after the other: the first may have to load what it needs.
    parts.reloading = parts.reloading
      .then(() => live.reload(config))
      .then(() => webhooks.reload(config.webhooks))
      .catch(failed)
    queue?.useCallers(callers)
    if (next) tracing?.useHeaders(next.headers)
  })
}

function watch(parts: Parts, read: () => Config, pollMs?: number) {
  const { config, logger, observe } = parts
  return watchConfig({
    config,
    read,
    ...(pollMs !== undefined && { pollMs }),
    applied(next, changes) {
      const report = () => {
        observe('configurationReloaded', changes)
        for (const warning of [...warningsOf(next), ...warningsOfChange(config, next)]) logger.warn(warning)
      }
      const refuse = ({ message }: Error) => observe('configurationReloadFailed', { issues: [{ path: 'wsdl', message }] })
      const reading = reload(parts, next)
      if (reading) reading.then(report, refuse)
      else report()
    },
    refused({ issues }) {
      observe('configurationReloadFailed', { issues })
    },
  })
}

async function drain(parts: Parts, stopWatching: () => void) {
  const { config, lifecycle, app, admin, upstream, sends, readBack, queue, live, pollers, webhooks, store, tracing } = parts
  // The request that was accepted last has its whole budget: the delay gives way where DRAIN_MS has no room for both.
  const delayMs = Math.min(config.drainDelayMs, config.drainMs - config.timeoutMs - 1_000)
  // A request body that never ends holds the drain until `answered`. Closing needs time of its own, since the ledger syncs several times.
  const closeMs = Math.min(2_500, 0.75 * (config.drainMs - delayMs - config.timeoutMs))
  const answered = createDeadline(config.drainMs - closeMs)
  const closed = createDeadline(config.drainMs - lastLinesMs)
  lifecycle.phase = 'leaving'
  await sleep(delayMs)
  lifecycle.phase = 'draining'
  const unpolled = Promise.all([pollers.stop(), answered.wait(webhooks.stop())]) // another process takes the leases meanwhile
  const streamsEnded = live.current()?.drain(Math.min(maxSpreadMs, answered.leftMs() / 2))
  // The server closes a connection as idle as soon as its answer is written, even if the caller has yet to take it.
  while (lifecycle.unanswered > 0 && answered.leftMs() > 0) await sleep(20)
  await streamsEnded
  // Connections that remain have no whole request here: it is half sent, or refused and still being sent.
  const end = setTimeout(() => app.server.closeAllConnections(), Math.min(1_000, answered.leftMs()))
  const steps = [await closed.wait(app.close())]
  clearTimeout(end)
  stopWatching()
  readBack.stop()
  await answered.wait(Promise.resolve(queue?.stop()))
  await answered.wait(sends.idle()) // a send goes on when its caller has hung up
  await unpolled
  steps.push(await closed.wait(upstream.close()))
  await closed.wait(sends.stop())
  live.close()
  const flushed = tracing?.stop(Math.min(1_000, closed.leftMs()))
  steps.push(await closed.wait(store.close()), await closed.wait(admin.close()))
  await flushed
  return steps.every(Boolean)
}

/** Where a server listens, with the port that it really got. */
function urlOf({ server }: FastifyInstance) {
  const { address, family, port } = server.address() as AddressInfo // a TCP listener has one
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** The same for this machine, once the server listens. */
function listensAt(app: FastifyInstance) {
  return app.server.listening ? urlOf(app).replace(/\/\/(0\.0\.0\.0|\[::\])/, '//127.0.0.1') : undefined
}
