import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, matchesGlob, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { errorsPage, generate } from '../src/cli/openapi.ts'
import { configurationPage, envExample } from '../src/config/documentation.ts'
import { schemaText } from '../src/config/file-schema.ts'
import { Variables } from '../src/config/variables.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

describe('openapi/openapi.json', () => {
  test('is what the routes make (if not: npm run generate)', async () => {
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

describe('The scripts of package.json', () => {
  test('set no variables, which the shell of Windows cannot', () => {
    const scripts = Object.values<string>(JSON.parse(read('package.json')).scripts)

    expect(scripts.filter(script => /(^|&& )\w+=/.test(script))).toEqual([])
  })
})

describe('docs/errors.md', () => {
  test('is what the catalogue makes (if not: npm run generate)', () => {
    expect(read('docs/errors.md')).toBe(errorsPage())
  })
})

describe('openapi/gateway-config.schema.json', () => {
  test('is what the configuration is read with (if not: npm run generate)', () => {
    expect(read('openapi/gateway-config.schema.json')).toBe(schemaText())
  })
})

describe('.env.example and docs/configuration.md', () => {
  const secrets = Object.entries(Variables.properties).filter(([, schema]) => 'secret' in schema)
  const ofGateway = [...Object.keys(Variables.properties), ...secrets.map(([name]) => `${name}_FILE`)]
  const ofSandbox = [...new Set(read('src/sandbox/main.ts').match(/\bSANDBOX_[A-Z_]+\b/g))]

  test('is what the variables describe (if not: npm run generate)', () => {
    expect(read('.env.example')).toBe(envExample())
    expect(read('docs/configuration.md')).toBe(configurationPage())
  })

  test('names each variable that GATEWAY_CONFIG replaces', () => {
    const replaced = Object.entries(Variables.properties).flatMap(([name, schema]) => ('single' in schema ? [name] : []))
    const named = /instead of (.*), which must then not be set/.exec(Variables.properties.GATEWAY_CONFIG.description ?? '')?.[1]

    expect(named?.split(/, | and /).sort()).toEqual(replaced.sort())
  })

  test('explains each variable, and no other', () => {
    const explained = read('.env.example').matchAll(/^# ?([A-Z][A-Z0-9_]+)=|^([A-Z][A-Z0-9_]+)=/gm)

    const names = [...new Set([...explained].map(([, commented, set]) => commented ?? set))]
    expect(names.sort()).toEqual([...ofGateway, ...ofSandbox].sort())
  })
})

describe('The documents', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'client', 'docs', 'examples'].flatMap(name =>
    name.endsWith('.md')
      ? name
      : readdirSync(join(root, name), { encoding: 'utf8', recursive: true })
          .filter(path => path.endsWith('.md') && !path.includes('node_modules'))
          .map(path => join(name, path)),
  )

  test.for(pages)('%s runs TypeScript with npm or npx, except inside the container: the Node.js of the reader may be too old', page => {
    const lines = read(page)
      .split('\n')
      .filter(line => /(?<!npx )\bnode( --?[\w=-]+)* [\w./-]+\.ts\b/.test(line))

    expect(lines.filter(line => !/inside the container|\bexec\b/i.test(line))).toEqual([])
  })
})

/** The import rules: which other rooms (`types` only as types) and which packages a room may import. */
const rooms: Record<string, { files: string[]; ours?: string[]; types?: string[]; packages?: string[] }> = {
  lib: {
    files: ['src/lib/**', 'src/access.ts', 'src/version.ts'],
    ours: ['src/lib/**'],
    packages: ['@sinclair/typebox', 'fastest-levenshtein', 'undici'],
  },
  problem: { files: ['src/problem/**'], ours: ['src/lib/**', 'src/afilnet/faults.ts'], packages: ['@sinclair/typebox'] },
  afilnet: {
    files: ['src/afilnet/**'],
    ours: ['src/lib/**', 'src/version.ts'],
    packages: ['@sinclair/typebox', 'oauth4webapi', 'sax', 'soap', 'temporal-polyfill', 'undici'],
  },
  store: { files: ['src/store/**'], ours: ['src/lib/**'], packages: ['ioredis'] },
  sandbox: { files: ['src/sandbox/**'], packages: ['fastify'] },
  events: { files: ['src/events.ts'], types: ['src/problem/**', 'src/afilnet/faults.ts'] },
  config: {
    files: ['src/config/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/afilnet/transports.ts', 'src/store/{url,event-log}.ts', 'src/media/place.ts'],
    packages: ['@sinclair/typebox'],
  },
  upstream: {
    files: ['src/upstream/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/version.ts', 'src/afilnet/**'],
    types: ['src/config/account.ts'],
    packages: ['lru-cache'],
  },
  sends: {
    files: ['src/sends/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/problem/**', 'src/store/store.ts'],
    packages: ['lru-cache', 'uuid'],
  },
  live: {
    files: ['src/live/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/problem/**', 'src/store/{store,event-log}.ts'],
    packages: ['lru-cache'],
  },
  tokens: {
    files: ['src/tokens/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/problem/**', 'src/store/store.ts'],
    packages: ['jose'],
  },
  mcp: {
    files: ['src/mcp/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/version.ts', 'src/problem/**'],
    packages: ['@modelcontextprotocol/server'],
  },
  media: {
    files: ['src/media/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/problem/**', 'src/store/{store,media}.ts'],
    packages: ['@aws-sdk/client-s3', '@fastify/busboy', 'file-type'],
  },
  webhooks: {
    files: ['src/webhooks/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/version.ts', 'src/problem/**', 'src/store/{store,deliveries,event-log}.ts'],
    packages: ['standardwebhooks'],
  },
  telemetry: {
    files: ['src/telemetry/**'],
    ours: ['src/lib/**', 'src/events.ts', 'src/version.ts', 'src/problem/**', 'src/afilnet/{faults,operations}.ts'],
    types: ['src/config/**', 'src/upstream/**', 'src/plugins/**'],
    packages: ['@fastify/otel', '@opentelemetry/*', 'fastify', 'fastify-plugin', 'pino', 'prom-client'],
  },
  plugins: {
    files: ['src/plugins/**'],
    ours: ['src/lib/**', 'src/access.ts', 'src/events.ts', 'src/version.ts', 'src/problem/**', 'src/afilnet/{faults,operations}.ts'],
    types: ['src/config/**', 'src/store/store.ts', 'src/tokens/**', 'src/upstream/**'],
    packages: ['@fastify/*', '@sinclair/typebox', 'fastify', 'fastify-plugin'],
  },
  routes: {
    files: ['src/routes/**'],
    ours: [
      'src/lib/**',
      'src/access.ts',
      'src/problem/**',
      'src/media/**',
      'src/store/{store,event-log,media}.ts',
      'src/upstream/**',
      'src/sends/**',
      'src/tokens/**',
      'src/mcp/**',
      'src/webhooks/**',
      'src/live/**',
      'src/afilnet/operations.ts',
    ],
    packages: ['@fastify/type-provider-typebox', '@sinclair/typebox', 'fastify', 'fastify-plugin'],
  },
  queue: {
    files: ['src/queue/**'],
    ours: ['src/lib/**', 'src/problem/**', 'src/sends/attempt.ts', 'src/store/store.ts'],
  },
  parts: { files: ['src/parts/**'], ours: ['src/**'] },
  programs: {
    files: ['src/{app,admin,gateway,main}.ts', 'src/cli/**'],
    ours: ['src/**', 'examples/inbox/server/inbox.ts'],
    packages: ['@fastify/*', '@sinclair/typebox', 'fastify', 'undici'],
  },
}

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .map(name => join('src', name))

type Import = { name: string; isType: boolean }

/** What a file imports: our files by path, packages by name. */
function importsOf(path: string): { ours: Import[]; packages: string[] } {
  const statements = [...read(path).matchAll(/^(import|export)( type)?\b[^'"]*?from '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm)]
  const imports = statements.map(([, , type, from, dynamic, bare]) => ({ name: from ?? dynamic ?? bare ?? '', isType: type !== undefined }))
  return {
    ours: imports
      .filter(({ name }) => name.startsWith('.'))
      .map(({ name, isType }) => ({ name: normalize(join(dirname(path), name)), isType })),
    packages: imports.filter(({ name }) => !/^(\.|node:)/.test(name)).map(({ name }) => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name),
  }
}

const matches = (name: string, patterns: readonly string[] = []) => patterns.some(pattern => matchesGlob(name, pattern))

describe('The import rules', () => {
  test.for(sources)('%s imports only what its room may', path => {
    const found = Object.values(rooms).filter(({ files }) => matches(path, files))
    const [room] = found
    const { ours, packages } = importsOf(path)
    const allowed = ({ name, isType }: Import) =>
      matches(name, room?.files) || matches(name, room?.ours) || (isType && matches(name, room?.types))

    expect(found, 'belongs to one room').toHaveLength(1)
    expect(ours.filter(({ name }) => !sources.includes(name) && !(path === 'src/cli/demo.ts' && name.startsWith('examples/')))).toEqual([])
    expect(ours.filter(imported => !allowed(imported))).toEqual([])
    expect(packages.filter(name => !matches(name, room?.packages))).toEqual([])
    expect(packages.filter(name => builtinModules.includes(name))).toEqual([]) // built-in modules are imported as node:
  })

  test('only the connection to Valkey imports ioredis', () => {
    expect(sources.filter(path => importsOf(path).packages.includes('ioredis'))).toEqual(['src/store/valkey/connection.ts'])
  })

  test('only the sandbox imports node:http at run time, which loads a second undici', () => {
    const importers = sources.filter(path => /^(import|export) (?!type )[^'"]* from 'node:https?'/m.test(read(path)))

    expect(importers.filter(path => !path.startsWith('src/sandbox/'))).toEqual([])
  })

  test('only lib/undici.ts imports undici at run time, whose index loads five times as much', () => {
    const importers = sources.filter(path => /^(import|export) (?!type )[^'"]* from 'undici\b/m.test(read(path)))

    expect(importers).toEqual(['src/lib/undici.ts'])
  })

  test('no files import each other in a circle, not even types', () => {
    const graph = new Map(sources.map(path => [path, importsOf(path).ours.map(({ name }) => name)]))
    // Files that import nothing that is left belong to no circle; what remains when no more can be removed is circles and their users.
    for (let removed = true; removed; ) {
      removed = false
      for (const [path, ours] of graph) if (!ours.some(name => graph.has(name))) removed = graph.delete(path)
    }

    expect([...graph.keys()]).toEqual([])
  })

  test('only programs read the environment', () => {
    const readers = sources.filter(path => /process\.env|node:process|loadEnvFile/.test(read(path)))

    expect(readers.sort()).toEqual([
      'src/cli/demo.ts',
      'src/cli/doctor.ts',
      'src/cli/env-file.ts',
      'src/cli/store.ts',
      'src/main.ts',
      'src/sandbox/main.ts',
    ])
  })

  test('only programs end the process', () => {
    const enders = sources.filter(path => /process\.exit|process\.exitCode/.test(read(path)))

    expect(enders.sort()).toEqual([
      'src/cli/config-or-exit.ts',
      'src/cli/demo.ts',
      'src/cli/env-file.ts',
      'src/cli/key.ts',
      'src/cli/print-and-exit.ts',
      'src/cli/store.ts',
      'src/main.ts',
      'src/sandbox/main.ts',
    ])
  })
})

describe('The files of src', () => {
  test('are 200 lines or less, or say first why they are longer', () => {
    const long = sources.filter(path => read(path).split('\n').length > 201 && !read(path).startsWith('// Longer than 200 lines, because '))

    expect(long).toEqual([])
  })
})
