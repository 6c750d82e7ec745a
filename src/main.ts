import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Beside the code, whose owner alone may write there; read-only is fine. Everything else is imported after it, and so found in it.
enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/compile'))
const { configOrExit } = await import('./cli/config-or-exit.ts')
const { maskConfig, readConfig, warningsOf } = await import('./config/config.ts')
const { isSandbox, startGateway } = await import('./gateway.ts')
const { createLogger } = await import('./telemetry/log.ts')
const { StoreVersionError } = await import('./store/store.ts')

const [argument, ...more] = process.argv.slice(2)
if ((argument !== undefined && argument !== '--check') || more.length > 0) {
  process.stderr.write('The only argument is --check\n')
  process.exit(78)
}
const config = configOrExit(() => readConfig(process.env))
if (argument === '--check') {
  for (const warning of warningsOf(config)) process.stderr.write(`Warning: ${warning}\n`)
  process.stdout.write(`${JSON.stringify(maskConfig(config), null, 2)}\n`)
  process.exit(0)
}

const log = createLogger(config.logLevel)
let reload = () => {} // a SIGHUP that comes early must not end the process
process.on('SIGHUP', () => reload())
const gateway = await startGateway(config, log).catch((error: NodeJS.ErrnoException) => {
  const newerStore = error instanceof StoreVersionError
  const { code, address: host, port } = error as NodeJS.ErrnoException & { address?: string; port?: number } // as node:net has it
  log.fatal(newerStore ? { store: error.message } : { code, host, port }, 'cannot start')
  process.exit(newerStore ? 78 : 1)
})
reload = gateway.watch(() => readConfig(process.env))

let leaving = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  // Kept for good: npm passes on a Ctrl-C that the terminal has sent already, and the second one must not cut the first short.
  process.on(signal, async () => {
    if (leaving) return
    leaving = true
    log.info({ signal }, 'draining')
    await gateway.drain()
    log.info('drained')
    process.exit(0)
  })
}

const accounts = Object.entries(config.accounts).map(([name, { transport, url }]) => ({ name, transport, url: url.href }))
const { url, adminUrl } = gateway
log.info(
  { url, docs: config.docs ? `${url}/docs` : undefined, admin: adminUrl, accounts, sandbox: await isSandbox(config) },
  'gateway is ready',
)
for (const warning of warningsOf(config)) log.warn(warning)
