import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Dispatcher, Pool } from 'undici'
import { test as base, expect } from 'vitest'
import { type Scope, scopes } from '../src/access.ts'
import type { TransportName } from '../src/afilnet/transports.ts'
import type { Timeouts } from '../src/app.ts'
import type { AccountConfig } from '../src/config/account.ts'
import type { CallerConfig } from '../src/config/accounts.ts'
import { type Config, readConfig } from '../src/config/config.ts'
import type { Environment } from '../src/config/variables.ts'
import { type Gateway, startGateway } from '../src/gateway.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/app.ts'
import type { ScriptedResponse } from '../src/sandbox/scripted-responses.ts'
import { createLogger } from '../src/telemetry/log.ts'

/** Sentinels: every test runs with them, and fails if one of them comes out anywhere. */
export const canaries = {
  password: 'fake-canary-password-ñ&=%',
  key: 'fake_canary_key_0123456789abcdef',
  clientSecret: 'fake-canary-client-secret-ñ&=%',
  token: 'fake-sandbox-token-', // how the sandbox's tokens begin
}

/** Some machines and containers have no IPv6. */
export const hasIpv6 = Object.values(networkInterfaces()).some(addresses => addresses?.some(({ address }) => address === '::1'))

export type Reply = {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  json: ReturnType<typeof JSON.parse>
}
type RequestOptions = { method?: string; headers?: Record<string, string | string[]>; body?: string | Buffer; key?: string | null }
type LogLine = Record<string, unknown>

/** Takes answers apart as they stood on the wire, one after the other. */
export function readAnswers(bytes: string): Reply[] {
  const answers: Reply[] = []
  for (let rest = bytes; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n')
    const [line = '', ...fields] = rest.slice(0, end).split('\r\n')
    const headers = Object.fromEntries(fields.map(field => field.split(/: (.*)/s, 2) as [string, string])) // a field has a colon
    const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
    const body = Buffer.from(rest.slice(end + 4))
    const length = Number(lower['content-length'] ?? 0)
    const text = body.subarray(0, length).toString()
    answers.push({
      status: Number(line.split(' ')[1]),
      headers: lower,
      text,
      json: /json/.test(lower['content-type'] ?? '') && text !== '' ? JSON.parse(text) : undefined,
    })
    rest = body.subarray(length).toString()
  }
  return answers
}

/** Takes the lines of a log as they come. `logged` resolves with the first one, past or to come, that fits. */
export function createLog() {
  const log: LogLine[] = []
  const waiting = new Set<() => void>()
  return {
    log,
    take(line: string) {
      log.push(JSON.parse(line))
      for (const look of waiting) look()
    },
    logged: (fits: (line: LogLine) => boolean) =>
      new Promise<LogLine>(resolve => {
        const look = () => {
          const line = log.find(fits)
          if (!line) return
          waiting.delete(look)
          resolve(line)
        }
        waiting.add(look)
        look()
      }),
  }
}

export type TestGateway = Gateway & {
  /** One request with the caller's key, over a real socket. */
  request(path: string, options?: RequestOptions): Promise<Reply>
  get(path: string, headers?: Record<string, string>): Promise<Reply>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Reply>
  /** Writes bytes as they are and returns everything that came back until the gateway closed the connection. */
  raw(bytes: string | Buffer): Promise<string>
  /** A bare connection, for callers that dawdle; destroyed at the end of the test. */
  open(): Socket
} & Pick<ReturnType<typeof createLog>, 'log' | 'logged'>

export type StartOptions = {
  env?: Environment
  callers?: Record<string, Partial<CallerConfig> & { key: string; scopes?: readonly Scope[] }>
  /** Accounts beside `default`, which they resemble in all that they do not say. */
  accounts?: Record<string, Partial<AccountConfig>>
  timeouts?: Partial<Timeouts>
  /** Not on the gateway that tests share. */
  alone?: true
}

type Fixtures = {
  /** An empty folder, which is deleted after the gateways have closed. */
  folder: string
  /** The path of a ledger in it. */
  ledgerFile: string
  sandbox: Sandbox
  start: (options?: StartOptions) => Promise<TestGateway>
  gateway: TestGateway
}

/** `sandbox` and `gateway` are fresh for each test and close themselves; `start` opens gateways of another configuration. */
export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  folder: async ({}, use) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'gateway-test-'))
    await use(folder.path)
  },
  ledgerFile: ({ folder }, use) => use(join(folder, 'ledger.sqlite')),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  sandbox: async ({}, use) => {
    const sandbox = await startSandbox({ password: canaries.password, clientSecret: canaries.clientSecret })
    await use(sandbox)
    await sandbox.close()
  },
  start: async ({ sandbox }, use) => {
    const opened: (() => Promise<void>)[] = []
    await use(async (options = {}) => {
      const { gateway, end } = await open(sandbox, options)
      opened.push(end)
      return gateway
    })
    for (const end of opened) await end()
  },
  gateway: async ({ start }, use) => {
    await use(await start())
  },
})

/** Uploads of all gateways of a test file, each in a folder of its own that is made with its first upload. */
export const mediaFolder = join(tmpdir(), `gateway-media-${process.pid}`)
let folders = 0

/** Has Afilnet keep back its answer to the next call, or the next that fits, until the caller of this calls what it returns. */
export function hold(sandbox: Sandbox, answer: ScriptedResponse = {}) {
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  sandbox.answer({ ...answer, held })
  return release
}

/** Requests that wait for their answer or for their turn. */
export async function requestsInFlight({ adminUrl }: Pick<Gateway, 'adminUrl'>) {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(/^gateway_requests_in_flight (\d+)$/m.exec(metrics)?.[1])
}

/** The environment of a gateway in front of a sandbox; only tests of the budget meet its end, however busy the machine is. */
export const environment = (sandbox: { url: string; user: string }, budgetMs = 60_000): Environment => ({
  PORT: '0',
  ADMIN_PORT: '0',
  AFILNET_USER: sandbox.user,
  AFILNET_PASSWORD: canaries.password,
  AFILNET_URL: `${sandbox.url}/api/http/`,
  AFILNET_TIMEOUT_MS: String(budgetMs),
  GATEWAY_KEY_SHA256: hash('sha256', canaries.key),
  STORE_URL: 'sqlite::memory:',
  MEDIA_STORE: `file:${join(mediaFolder, String(++folders))}`,
  LOG_LEVEL: 'trace',
})

/** What changes in it for another transport. */
export const transportEnvironment = (sandbox: Sandbox, transport: TransportName): Environment => ({
  AFILNET_TRANSPORT: transport,
  ...(transport === 'soap'
    ? { AFILNET_URL: undefined, AFILNET_WSDL: `${sandbox.url}/api/soap/?wsdl` }
    : { AFILNET_URL: `${sandbox.url}/api/${/basic|json/.test(transport) ? transport : 'http'}/` }),
  ...(transport === 'json' && {
    AFILNET_TOKEN_URL: `${sandbox.url}/oauth/token`,
    AFILNET_CLIENT_ID: sandbox.clientId,
    AFILNET_CLIENT_SECRET: canaries.clientSecret,
  }),
})

/** A gateway that serves one test after the other, what is configured beyond the usual, and where its log goes just now. */
type Pooled = { gateway: Gateway; env: Environment; writeTo: (write: (line: string) => void) => void }

/** A ledger that is slow is no ledger that is away, except on a server, which tests stop. */
const unhurried = { storeMs: 60_000 }

async function openPooled(env: Environment, use: (pooled: Pooled) => Promise<void>) {
  let write = (_line: string) => {}
  const config = readConfig({ ...environment({ url: 'http://127.0.0.1:9', user: 'nobody@sandbox.invalid' }), ...env })
  const gateway = await startGateway(config, createLogger(config.logLevel, { write: line => write(line) }), unhurried)
  await use({
    gateway,
    env,
    writeTo(next) {
      write = next
    },
  })
  await gateway.drain()
}

const shared = (env: Environment, scope: 'worker' | 'file') =>
  test.extend<{ pooled: Pooled; start: (options?: StartOptions) => Promise<TestGateway> }>({
    // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
    pooled: [async ({}, use) => openPooled(env, use), { scope }],
    start: async ({ sandbox, pooled }, use) => {
      const opened: (() => Promise<void>)[] = []
      let free: Pooled | undefined = pooled
      await use(async (options = {}) => {
        const taken = isReloadable(sandbox, pooled, options) ? free : undefined
        if (taken) free = undefined
        const { gateway, end } = await open(sandbox, { ...options, env: { ...env, ...options.env } }, taken)
        opened.push(end)
        return gateway
      })
      for (const end of opened) await end()
    },
  })

/**
 * For tests that do not look at the whole log: they share one gateway as far as a reload can give it their accounts and callers.
 *
 * Each test has a sandbox and an account of its own, with breakers, connections, cached answers, keys and sends. Starting a gateway costs ten times as much.
 */
export const sharedTest = shared({}, 'worker')

/** The same on a gateway with another configuration, for the tests of one file. */
export const sharedTestOn = (env: Environment) => shared(env, 'file')

/** Whether a running gateway can be given this by a reload, and keeps nothing of it for the next test: limits count by the name of a caller. */
function isReloadable(sandbox: Sandbox, pooled: Pooled, { env = {}, callers = {}, accounts, timeouts, alone }: StartOptions) {
  if (alone || accounts || timeouts || 'RATE_LIMIT_PER_MINUTE' in env || Object.values(callers).some(({ rateLimit }) => rateLimit))
    return false
  const usual = { ...environment(sandbox), ...pooled.env }
  const [one, other] = [usual, { ...usual, ...env }].map(variables => ({ ...readConfig(variables), accounts: 0, callers: 0 }))
  return isDeepStrictEqual(one, other)
}

/** The same for another configuration of the account. */
export const sharedTestWith = (env: (sandbox: Sandbox) => Environment) =>
  sharedTest.extend<{ gateway: TestGateway }>({
    gateway: async ({ sandbox, pooled }, use) => {
      const { gateway, end } = await open(sandbox, { env: { ...pooled.env, ...env(sandbox) } }, pooled)
      await use(gateway)
      await end()
    },
  })

let tests = 0

/** The configuration with its one account under another name. */
const inAccount = ({ accounts, callers }: Config, name: string) => ({
  accounts: { [name]: accounts.default },
  callers: Object.fromEntries(Object.entries(callers).map(([caller, row]) => [caller, { ...row, account: name }])),
})

async function open(sandbox: Sandbox, { env = {}, callers, accounts, timeouts }: StartOptions, pooled?: Pooled) {
  const config = { ...readConfig({ ...environment(sandbox), ...env }) } as Config
  for (const [name, { key, ...rest }] of Object.entries(callers ?? {})) {
    config.callers = { ...config.callers, [name]: { account: 'default', scopes, keySha256: [hash('sha256', key)], ...rest } }
  }
  for (const [name, account] of Object.entries(accounts ?? {})) {
    config.accounts = { ...config.accounts, [name]: { ...config.accounts.default, ...account } as AccountConfig }
  }
  // Keys and sends belong to caller and account, so an account of its own keeps a test apart from those before.
  if (pooled) Object.assign(config, inAccount(config, `test-${++tests}`))
  const output: string[] = []
  const { log, take, logged } = createLog()
  const write = (line: string) => {
    output.push(line)
    take(line)
  }
  const gateway =
    pooled?.gateway ??
    (await startGateway(config, createLogger(config.logLevel, { write }), {
      ...(/^sqlite/.test(config.storeUrl) && unhurried),
      ...timeouts,
    }))
  pooled?.writeTo(write)
  await pooled?.gateway.reload(config)
  const pool = new Pool(gateway.url, { connections: 256, headersTimeout: 0, bodyTimeout: 0 })

  async function request(path: string, { method = 'GET', headers, body, key = canaries.key }: RequestOptions = {}): Promise<Reply> {
    const answer = await pool.request({
      path,
      method: method as Dispatcher.HttpMethod, // undici sends any token
      headers: { ...(key !== null && { authorization: `Bearer ${key}` }), ...headers },
      body: body ?? null,
    })
    const text = await answer.body.text()
    output.push(JSON.stringify(answer.headers), text)
    const json = /json/.test(String(answer.headers['content-type'])) && text !== '' ? JSON.parse(text) : undefined
    return { status: answer.statusCode, headers: answer.headers, text, json }
  }

  const sockets: Socket[] = []
  function openSocket() {
    const { hostname, port } = new URL(gateway.url)
    const socket = connect(Number(port), hostname).on('error', () => {}) // reset while it still writes: what came back counts
    sockets.push(socket)
    return socket
  }

  async function end() {
    await pool.destroy()
    for (const socket of sockets) socket.destroy()
    if (!pooled) await gateway.drain()
    const said = output.join('\n')
    for (const canary of Object.values(canaries)) {
      for (const form of [canary, encodeURIComponent(canary), Buffer.from(canary).toString('base64')])
        expect(said.includes(form), 'a secret came out').toBe(false)
    }
  }

  const testGateway: TestGateway = {
    ...gateway,
    ...(pooled && { drain: () => Promise.reject(new Error('other tests share this gateway: start another')) }),
    request,
    get: (path, headers) => request(path, { ...(headers && { headers }) }),
    post: (path, body, headers) =>
      request(path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }),
    async raw(bytes) {
      const socket = openSocket()
      let said = ''
      socket.setEncoding('utf8').on('data', chunk => {
        said += chunk
      })
      socket.write(bytes)
      await once(socket, 'close')
      output.push(said)
      return said
    },
    open: openSocket,
    log,
    logged,
  }
  return { gateway: testGateway, end }
}
