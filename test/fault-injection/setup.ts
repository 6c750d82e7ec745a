import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../bench/programs.ts'
import { type Balancer, startBalancer } from '../deploy/balancer.ts'
import { startServer } from '../store/valkey/server.ts'
import { type Bucket, startBucket } from './bucket.ts'
import { type Webhooks, writeConfiguration } from './configuration.ts'
import { openFaultyProxy } from './faulty-proxy.ts'
import { createGatewayProcess, type Outage } from './gateway-process.ts'
import { timings } from './invariants.ts'
import { watchStalls } from './stalls.ts'

type SetupOptions = { replicas?: boolean; webhooks?: Webhooks; timeoutMs?: number }

export type Setup = Awaited<ReturnType<typeof openSetup>>

/**
 * Two real gateways on one ledger, each behind a proxy of its own: disturbances hit the first, the second is left alone.
 *
 * As `replicas` they keep their ledger on a Valkey server, which dies and freezes too, and files in a bucket, and callers reach them through a load balancer.
 */
export async function openSetup({ replicas = false, webhooks, timeoutMs = timings.timeoutMs }: SetupOptions = {}) {
  const server = replicas ? await startServer() : undefined
  const storeOutages: Outage[] = []
  const clockJumps: { at: number; until: number }[] = []
  const ledgerGaps: { at: number; until: number }[] = []
  const strays: { at: number; until: number }[] = []
  const stalls = watchStalls()
  const folder = await mkdtemp(join(tmpdir(), 'gateway-faults-'))
  const mediaFolder = join(folder, 'media')
  const storeUrl = server?.url() ?? `sqlite:${join(folder, 'ledger.sqlite')}`
  const proxies = [await openFaultyProxy(), await openFaultyProxy()] as const
  const ports = [await freePort(), await freePort()] as const
  const environment = (proxyPort: number) => ({
    ADMIN_PORT: '0',
    GATEWAY_CONFIG: writeConfiguration(folder, proxyPort, webhooks),
    AFILNET_TIMEOUT_MS: String(timeoutMs),
    AFILNET_LATE_MS: String(timings.lateMs),
    STORE_URL: storeUrl,
    STORE_MAX_MB: '100000',
    QUEUE_KEY: Buffer.alloc(32, 'fake queue key').toString('base64'),
    MEDIA_STORE: `file:${mediaFolder}`,
    MEDIA_MAX_MB: '100000',
    MEDIA_URL: `http://127.0.0.1:${ports[1]}`, // the same for both: either may be told to send what the other one has stored
    LOG_LEVEL: 'info',
    MALLOC_ARENA_MAX: '2',
    NODE_OPTIONS: '--max-old-space-size=128', // without a bound, a heap that grows looks like a leak
    ...bucket?.environment,
  })
  const bucket: Bucket | undefined = replicas ? await startBucket(mediaFolder) : undefined
  const victim = createGatewayProcess(environment(proxies[0].port), ports[0])
  const witness = createGatewayProcess(environment(proxies[1].port), ports[1])
  const gateways = [victim, witness] as const
  let balancer: Balancer | undefined

  async function close() {
    stalls.stop()
    for (const gateway of gateways) await gateway.stop('SIGKILL')
    for (const proxy of proxies) await proxy.close()
    await balancer?.close()
    await bucket?.close()
    await server?.end()
    await rm(folder, { recursive: true, force: true })
  }

  try {
    await victim.start()
    await witness.start()
    if (replicas) balancer = await startBalancer(ports)
  } catch (error) {
    await close()
    throw error
  }
  return {
    folder,
    /** Where uploaded files are, unless they are in a bucket. */
    mediaFolder: replicas ? undefined : mediaFolder,
    storeUrl,
    server,
    storeOutages,
    clockJumps,
    ledgerGaps,
    strays,
    stalls: stalls.spans,
    proxies,
    ports,
    victim,
    witness,
    gateways,
    balancer,
    close,
  }
}
