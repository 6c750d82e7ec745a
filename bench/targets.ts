import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scopes } from '../src/access.ts'
import { failures, faults } from '../src/afilnet/faults.ts'
import { catalogue, type ProblemCode } from '../src/problem/catalogue.ts'
import { account } from './answers.ts'
import { keySha256 } from './endpoint.ts'
import { type Core, has, type Program, start } from './programs.ts'

/** What a case wants of the gateway beyond the usual. */
export type Features = { channels?: readonly string[]; webhook?: string; env?: Record<string, string> }

export type Start = {
  port: number
  upstream: URL
  folder: string
  nodeFlags?: readonly string[]
  output?: string | undefined
  core?: Core
  features?: Features
  /** What the gateway is started from, instead of its sources. */
  entry?: string
}

/** One way to serve Afilnet as REST. */
export type Target = {
  title: string
  /** Says which program it lacks on this machine. */
  lacks?(): string | undefined
  start(options: Start): Program
  /** Does not translate: it shows what the stack alone costs, and its answers are not checked. */
  floor?: true
  /** Headers that a production gateway gives; the others do without. */
  headers?: { get: readonly string[]; post: readonly string[] }
}

const here = import.meta.dirname

export const webhookSecret = `whsec_${Buffer.from('fake-webhook-secret-of-the-bench').toString('base64')}`

/** As `npm start` and the image have it. */
const heapFlags = ['--max-semi-space-size=16']

/** As an operator would run it: a configuration file, a limit that is not reached, a log line for each request, a durable ledger. */
function startGateway({ port, upstream, folder, nodeFlags = [], output, core = 'target', features = {}, entry = 'src/main.ts' }: Start) {
  const { channels, webhook, env: more } = features
  const config = join(folder, 'config.json')
  writeFileSync(join(folder, 'password'), account.password)
  writeFileSync(join(folder, 'secret'), webhookSecret)
  writeFileSync(
    config,
    JSON.stringify({
      accounts: {
        main: {
          user: account.user,
          password: { file: join(folder, 'password') },
          url: upstream.href,
          ...(channels && { events: { channels, intervalMs: 1_000 } }),
        },
      },
      callers: { bench: { keySha256: [keySha256], account: 'main', scopes, rateLimit: { requestsPerMinute: 100_000_000 } } },
      ...(webhook && { webhooks: { bench: { url: webhook, secret: { file: join(folder, 'secret') }, account: 'main' } } }),
    }),
  )
  const env = {
    GATEWAY_CONFIG: config,
    PORT: String(port),
    ADMIN_PORT: '0',
    STORE_URL: `sqlite:${join(folder, 'ledger.sqlite')}`,
    LOG_LEVEL: 'info',
    ...more,
  }
  const preloads = entry.endsWith('.ts') ? ['--import', join(here, '../src/cli/compile-cache.js')] : []
  return start(core, [process.execPath, ...heapFlags, ...preloads, ...nodeFlags, join(here, '..', entry)], env, output)
}

const startNode =
  (file: string) =>
  ({ port, upstream }: Start) =>
    start('target', [process.execPath, join(here, 'targets', file)], {
      BENCH_PORT: String(port),
      BENCH_UPSTREAM: upstream.href,
      BENCH_USER: account.user,
      BENCH_PASSWORD: account.password,
      BENCH_KEY_SHA256: keySha256,
    })

/** Where this nginx has its modules. */
const modulesOfNginx = () =>
  /--modules-path=(\S+)/.exec(spawnSync('nginx', ['-V'], { encoding: 'utf8' }).stderr)?.[1] ?? '/usr/lib/nginx/modules'

/** Where LuaJIT looks for it. */
const cjson = ['/usr/lib/*/lua/5.1/cjson.so', '/usr/lib/lua/5.1/cjson.so', '/usr/local/lib/lua/5.1/cjson.so']

function writeNginx({ port, upstream, folder }: Start) {
  const names: Record<string, string> = {
    MODULES: modulesOfNginx(),
    SOURCES: join(here, 'targets'),
    FOLDER: folder,
    UPSTREAM: upstream.host,
    PATH: upstream.pathname,
    PORT: String(port),
  }
  const template = readFileSync(join(here, 'targets/nginx.conf'), 'utf8')
  writeFileSync(
    join(folder, 'nginx.conf'),
    template.replace(/@([A-Z]+)@/g, (_, name) => names[name] ?? ''),
  )
  const statuses = Object.entries({ ...faults, unknown: failures.unknownError }).map(
    ([name, { code }]) => [name, { code, status: catalogue[code as ProblemCode].status }] as const, // a test holds faults to the catalogue
  )
  const config = { ...account, keySha256, faults: Object.fromEntries(statuses) }
  writeFileSync(join(folder, 'gateway.json'), JSON.stringify(config))
  return ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf')]
}

export const targets = {
  gateway: {
    title: 'this gateway',
    start: startGateway,
    headers: {
      get: ['etag', 'cache-control', 'vary', 'x-request-id', 'ratelimit', 'ratelimit-policy', 'content-security-policy'],
      post: ['location', 'x-request-id', 'ratelimit', 'ratelimit-policy', 'content-security-policy'],
    },
  },
  nginx: {
    title: 'nginx+lua',
    lacks: () => {
      if (!has('nginx')) return 'nginx'
      const missing = ['ndk_http_module', 'ngx_http_lua_module'].find(name => !existsSync(join(modulesOfNginx(), `${name}.so`)))
      if (missing) return `nginx's ${missing}`
      return globSync(cjson).length > 0 ? undefined : 'lua-cjson'
    },
    start: options => start('target', writeNginx(options)),
  },
  express: { title: 'express + axios', start: startNode('express.ts') },
  'reply-from': { title: '@fastify/reply-from', start: startNode('reply-from.ts') },
  'plain-http': { title: 'plain node:http', start: startNode('plain-http.ts') },
  floor: { title: 'Fastify + undici, bytes passed through', start: startNode('floor.ts'), floor: true },
} as const satisfies Record<string, Target>

export type TargetName = keyof typeof targets

/** Those that serve Afilnet as REST. */
export const restTargets: readonly TargetName[] = ['gateway', 'nginx', 'express', 'reply-from', 'floor']
