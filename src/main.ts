import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { handleSignals } from './lib/signals.ts'

// First of all: a signal that arrives during the start must not end the process or open the inspector.
let ending: string | undefined
const handlers = {
  reload: () => {},
  drain: (signal: string): unknown => (ending ??= signal), // the drain begins once the start is over
}
handleSignals(handlers)

// Libraries that print commands and credentials read it when they are loaded.
const { DEBUG } = process.env
delete process.env.DEBUG

// Beside the code, where only its owner may write; read-only is fine. Everything else is imported after it, and so found in it.
enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/compile'))
const { configOrExit } = await import('./cli/config-or-exit.ts')
const { exitAtOnce, printAndExit } = await import('./cli/print-and-exit.ts')
const { ConfigError, readConfig } = await import('./config/config.ts')
const { debugSwitches } = await import('./config/debug-switches.ts')
const { describeConfig, mediaWarningsOf, warningsOf } = await import('./config/describe.ts')
const { startGateway } = await import('./gateway.ts')
const { createLogger, openStandardOutput } = await import('./telemetry/log.ts')
const { StoreVersionError } = await import('./store/store.ts')
const { TransportError } = await import('./afilnet/transport-error.ts')

const [argument, ...more] = process.argv.slice(2)
if ((argument !== undefined && argument !== '--check') || more.length > 0) {
  process.stderr.write('The only argument is --check\n')
  process.exit(78)
}
const switches = debugSwitches(process.env, process.execArgv)
const config = configOrExit(readStartConfig)
const warnings = [
  ...warningsOf(config),
  ...(DEBUG && !/^(false|0)$/.test(DEBUG) ? ['DEBUG is ignored: libraries would print credentials and messages'] : []),
  ...switches.map(({ path, message }) => `started because of ALLOW_DEBUG: ${path}: ${message}`),
]
if (argument === '--check') {
  for (const warning of [...mediaWarningsOf(config), ...warnings]) process.stderr.write(`Warning: ${warning}\n`)
  await printAndExit(`${JSON.stringify(describeConfig(config), null, 2)}\n`, 0)
}

const output = openStandardOutput()
const log = createLogger(config.logLevel, output)

// Node would write both to standard error and wait for it; an error's message may hold what must not be logged.
process.removeAllListeners('warning').on('warning', ({ name, ...warning }) => {
  log.warn({ type: name, code: 'code' in warning ? warning.code : undefined }, 'warning from Node')
})
process.on('uncaughtException', error => {
  log.fatal({ err: error }, 'unexpected failure, ending the process')
  void end(1)
})

const gateway = await startGateway(config, log, undefined, () => output.dropped).catch(async (error: NodeJS.ErrnoException) => {
  const newerStore = error instanceof StoreVersionError
  const badTransport = error instanceof TransportError
  type NetworkError = NodeJS.ErrnoException & { address?: string; hostname?: string; port?: number } // of node:net and node:dns
  const { code, address, hostname: host = address, port } = error as NetworkError
  const reason = newerStore ? { store: error.message } : badTransport ? { transport: error.message } : { code, host, port }
  log.fatal(reason, 'cannot start')
  return end(newerStore || (badTransport && !error.isTemporary) ? 78 : 1)
})
handlers.reload = gateway.watch(() => readConfig(process.env))

const accounts = Object.entries(config.accounts).map(([name, { transport, url }]) => ({
  name,
  transport,
  url: url.origin === 'null' ? url.pathname : url.origin + url.pathname,
}))
// The sandbox's account exists nowhere else; health says by the answers whether it really is the sandbox.
const sandbox = Object.values(config.accounts).some(
  ({ user, url }) => /^(demo@sandbox\.invalid|sandbox-client)$/.test(user) && url.protocol === 'http:',
)
const { url, adminUrl } = gateway
log.info({ url, docs: config.docs ? `${url}/docs` : undefined, admin: adminUrl, accounts, sandbox }, 'gateway is ready')
for (const warning of warnings) log.warn(warning)
handlers.drain = drain
if (ending !== undefined) await drain(ending)

async function drain(signal: string) {
  handlers.drain = () => {} // npm passes on a Ctrl-C that the terminal has sent already
  log.info({ signal }, 'draining')
  const closed = await gateway.drain()
  if (closed) log.info('drained')
  else log.error('drain incomplete, ending the process: something did not end in time, such as a write to a disk that hangs')
  await end(0, closed)
}

/** Ends the process after its last log lines have left, if they can; a thread that hangs must not keep it alive. */
async function end(code: number, clean = true): Promise<never> {
  const written = await output.flush(250)
  if (clean && written) exitAtOnce(code)
  process.kill(process.pid, 'SIGKILL')
  process.abort() // the first process of a container cannot kill itself
}

/** The configuration, unless Node was started with a switch that opens the process; every issue is reported at once. */
function readStartConfig() {
  const forbidden = process.env.ALLOW_DEBUG === 'true' ? [] : switches
  try {
    const config = readConfig(process.env)
    if (forbidden.length > 0) throw new ConfigError(forbidden, config.files)
    return config
  } catch (error) {
    if (!(error instanceof ConfigError) || error.issues === forbidden) throw error
    throw new ConfigError([...forbidden, ...error.issues], error.files, error.warnings)
  }
}
