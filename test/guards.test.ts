import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, matchesGlob, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { schemaText } from '../src/config-file.ts'
import { Variables } from '../src/config-variables.ts'
import { generate } from '../src/openapi.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

describe('openapi/openapi.json', () => {
  test('is what the routes make (if not: npm run openapi)', async () => {
    expect(read('openapi/openapi.json')).toBe(await generate())
  })

  test('has the version of the package', () => {
    expect(JSON.parse(read('openapi/openapi.json')).info.version).toBe(JSON.parse(read('package.json')).version)
  })

  test('pleases the linter', () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['node_modules/@redocly/cli/bin/cli.js', 'lint', '--config', 'redocly.yaml', 'openapi/openapi.json'],
      { cwd: root, encoding: 'utf8', env: { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } },
    )

    expect(status, stdout + stderr).toBe(0)
    expect(stdout + stderr).toContain('valid')
    expect(stdout + stderr).not.toMatch(/warning\w* \d|\[\d+\]/)
  })
})

describe('openapi/gateway-config.schema.json', () => {
  test('is what the configuration is read with (if not: npm run openapi)', () => {
    expect(read('openapi/gateway-config.schema.json')).toBe(schemaText())
  })
})

describe('.env.example', () => {
  const secrets = Object.entries(Variables.properties).filter(([, schema]) => 'secret' in schema)
  const ofGateway = [...Object.keys(Variables.properties), ...secrets.map(([name]) => `${name}_FILE`)]
  const ofSandbox = [...new Set(read('src/sandbox/main.ts').match(/\bSANDBOX_[A-Z_]+\b/g))]

  test('explains each variable, and no other', () => {
    const explained = read('.env.example').matchAll(/^# ?([A-Z][A-Z0-9_]+)=|^([A-Z][A-Z0-9_]+)=/gm)

    const names = [...new Set([...explained].map(([, commented, set]) => commented ?? set))]
    expect(names.sort()).toEqual([...ofGateway, ...ofSandbox].sort())
  })
})

/** Who may import what of ours, and which packages; `**` is everything below. */
const house = [
  ['src/afilnet/*', ['src/afilnet/*'], ['undici', 'temporal-polyfill']],
  ['src/sandbox/*', ['src/sandbox/*'], []],
  ['src/hosts.ts', [], []],
  ['src/chats.ts', [], []],
  ['src/limits.ts', [], []],
  ['src/members.ts', [], []],
  ['src/recent-answers.ts', ['src/views.ts'], ['lru-cache']],
  ['src/renderer*.ts', ['src/recent-answers.ts', 'src/renderer-worker.ts', 'src/views.ts', 'src/afilnet/{faults,operations}.ts'], []],
  ['src/views.ts', ['src/chats.ts', 'src/afilnet/{datetime,envelope,operations}.ts'], []],
  ['src/version.ts', [], []],
  ['src/metrics.ts', ['src/{observe,problem,upstream,version}.ts', 'src/afilnet/{faults,operations}.ts'], ['prom-client']],
  ['src/secrets.ts', [], []],
  ['src/reload.ts', ['src/config.ts'], []],
  ['src/config-file.ts', ['src/chats.ts', 'src/members.ts'], ['@sinclair/typebox']],
  ['src/key.ts', ['src/config-file.ts'], []],
  ['src/admin.ts', ['src/edge/{answers,auth,http,problems}.ts', 'src/{hosts,metrics,observe,problem,upstream}.ts'], ['fastify']],
  ['src/schema.ts', [], ['@sinclair/typebox']],
  ['src/store/url.ts', [], []],
  ['src/store/valkey-connection.ts', ['src/store/*'], ['ioredis']],
  ['src/store/*', ['src/store/*'], []],
  ['src/sends.ts', ['src/{limits,observe,outcomes,problem}.ts', 'src/store/store.ts', 'src/store/lease.ts', 'src/upstream.ts'], ['uuid']],
  ['src/outcomes.ts', ['src/problem.ts', 'src/store/store.ts', 'src/upstream.ts'], []],
  ['src/asking.ts', ['src/afilnet/{client,departure,faults,operations}.ts', 'src/{breaker,observe,retry-budget}.ts'], []],
  ['src/breaker.ts', [], ['cockatiel']],
  ['src/retry-budget.ts', [], []],
  ['src/shared-reads.ts', ['src/afilnet/departure.ts'], []],
  ['src/problem.ts', ['src/schema.ts'], ['@sinclair/typebox']],
  [
    'src/config.ts',
    ['src/config-{accounts,tracing,variables}.ts', 'src/hosts.ts', 'src/secrets.ts', 'src/store/url.ts'],
    ['@sinclair/typebox'],
  ],
  ['src/config-tracing.ts', ['src/config-{accounts,variables}.ts'], ['@sinclair/typebox']],
  [
    'src/tracing.ts',
    ['src/{config-tracing,hosts,upstream,version}.ts', 'src/edge/access-log.ts', 'src/edge/problems.ts', 'src/afilnet/faults.ts'],
    ['fastify', 'fastify-plugin', '@fastify/otel', '@opentelemetry/*'],
  ],
  [
    'src/config-accounts.ts',
    ['src/config-{file,variables}.ts', 'src/hosts.ts', 'src/secrets.ts', 'src/afilnet/transports.ts'],
    ['@sinclair/typebox'],
  ],
  ['src/config-variables.ts', ['src/store/url.ts'], ['@sinclair/typebox']],
  ['src/log.ts', ['src/config.ts'], ['pino']],
  ['src/observe.ts', ['src/{config,metrics,problem,reload}.ts', 'src/afilnet/faults.ts'], ['pino']],
  ['src/upstream.ts', ['src/afilnet/*', 'src/{asking,config-accounts,observe,problem,recent-answers,renderer,shared-reads,views}.ts'], []],
  [
    'src/edge/*',
    [
      'src/edge/*',
      'src/chats.ts',
      'src/limits.ts',
      'src/members.ts',
      'src/config-{accounts,file}.ts',
      'src/problem.ts',
      'src/schema.ts',
      'src/observe.ts',
      'src/config.ts',
      'src/upstream.ts',
      'src/version.ts',
      'src/store/store.ts',
      'src/afilnet/{departure,faults,operations}.ts',
    ],
    ['fastify', 'fastify-plugin', '@fastify/*', '@sinclair/typebox'],
  ],
  [
    'src/routes/*',
    [
      'src/routes/*',
      'src/upstream.ts',
      'src/sends.ts',
      'src/schema.ts',
      'src/problem.ts',
      'src/views.ts',
      'src/config-file.ts',
      'src/hosts.ts',
      'src/afilnet/operations.ts',
    ],
    ['fastify', '@fastify/type-provider-typebox', '@sinclair/typebox'],
  ],
  [
    'src/app.ts',
    ['src/edge/*', 'src/routes/*', 'src/{config,observe,problem,sends,upstream}.ts', 'src/store/store.ts'],
    ['fastify', '@fastify/*'],
  ],
  ['src/gateway.ts', ['src/*', 'src/edge/health.ts', 'src/store/{lease,open,store}.ts'], ['fastify']],
  ['src/openapi.ts', ['src/*', 'src/edge/*'], []],
  ['src/demo.ts', ['src/*', 'src/sandbox/app.ts'], []],
  ['src/main.ts', ['src/*', 'src/store/store.ts'], []],
  [
    'src/doctor/*',
    [
      'src/doctor/*',
      'src/afilnet/*',
      'src/config*.ts',
      'src/problem.ts',
      'src/store/{open,store,lease,remedies,sqlite-schema,url,valkey}.ts',
    ],
    ['undici'],
  ],
  ['src/doctor.ts', ['src/doctor/*', 'src/version.ts'], []],
  ['src/store-command/*', ['src/store-command/*', 'src/store/{open,remedies,store,sqlite-schema,url,valkey}.ts'], []],
  ['src/store-command.ts', ['src/store-command/*', 'src/config.ts', 'src/secrets.ts'], []],
] as const

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .map(name => join('src', name))

const importsOf = (path: string) => {
  const found = [...read(path).matchAll(/^(?:import|export)\b[^'"]*?from '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm)]
  const names = found.map(([, from, dynamic, bare]) => from ?? dynamic ?? bare ?? '')
  return {
    ours: names.filter(name => name.startsWith('.')).map(name => normalize(join(dirname(path), name))),
    packages: names.filter(name => !/^(\.|node:)/.test(name)).map(name => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name),
  }
}

const fits = (name: string, patterns: readonly string[]) => patterns.some(pattern => matchesGlob(name, pattern))

describe('The house', () => {
  test.for(sources)('%s visits only whom it may', path => {
    const rule = house.find(([pattern]) => matchesGlob(path, pattern))
    const { ours, packages } = importsOf(path)

    expect(rule, 'has a row in the table').toBeDefined()
    expect(ours.filter(name => !sources.includes(name))).toEqual([])
    expect(ours.filter(name => !fits(name, rule?.[1] ?? []))).toEqual([])
    expect(packages.filter(name => !fits(name, rule?.[2] ?? []))).toEqual([])
    expect(packages.filter(name => builtinModules.includes(name))).toEqual([]) // those say node:
  })

  test('lets only the programs read the environment', () => {
    const readers = sources.filter(path => /process\.env|node:process|loadEnvFile/.test(read(path)))

    expect(readers.sort()).toEqual(['src/demo.ts', 'src/doctor.ts', 'src/main.ts', 'src/sandbox/main.ts', 'src/store-command.ts'])
  })

  test('lets only the programs end the process', () => {
    const enders = sources.filter(path => /process\.exit|process\.exitCode/.test(read(path)))

    expect(enders.sort()).toEqual([
      'src/demo.ts',
      'src/doctor.ts',
      'src/key.ts',
      'src/main.ts',
      'src/sandbox/main.ts',
      'src/store-command.ts',
    ])
  })
})
