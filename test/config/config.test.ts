import { describe, expect, test } from 'vitest'
import { scopes } from '../../src/access.ts'
import { readConfig, storePolicyOf } from '../../src/config/config.ts'
import { describeConfig, warningsOf } from '../../src/config/describe.ts'
import type { Environment } from '../../src/config/variables.ts'
import { file, issuesOf } from './setup.ts'

const digest = 'ab'.repeat(32)
const valid = { AFILNET_USER: 'ops@example.com', AFILNET_PASSWORD: 'pa$$ word', GATEWAY_KEY_SHA256: digest }

describe('A configuration', () => {
  test('needs an account and a key, and has defaults for all else', () => {
    const config = readConfig(valid)

    expect(config).toEqual({
      host: '127.0.0.1',
      port: 3000,
      adminHost: '127.0.0.1',
      accounts: {
        default: {
          user: 'ops@example.com',
          password: 'pa$$ word',
          transport: 'post',
          url: new URL('https://www.afilnet.com/api/http/'),
          connections: 256,
        },
      },
      callers: { default: { keySha256: [digest], account: 'default', scopes: expect.arrayContaining(['messages:send']) } },
      connections: 256,
      maxResponseBytes: 8_388_608,
      timeoutMs: 10_000,
      lateMs: 20_000,
      readCacheMs: 0,
      storeUrl: 'sqlite:./data/gateway.sqlite',
      keepHours: 168,
      readBack: true,
      storeMaxMb: 1024,
      eventsKeepMs: 259_200_000,
      webhooks: {},
      media: {
        place: { kind: 'folder', path: './data/media' },
        maxBytes: 16_777_216,
        keepMs: 259_200_000,
        maxTotalBytes: 1_073_741_824,
      },
      idempotencyRequired: false,
      drainMs: 15_000,
      drainDelayMs: 0,
      trustProxy: [],
      corsOrigins: [],
      docs: true,
      mcp: false,
      keepAliveMs: 72_000,
      allowDebug: false,
      logLevel: 'info',
      files: {},
      warnings: [],
    })
    expect(config.callers.default?.scopes).toEqual([...scopes])
  })

  test('has everything that the environment says', () => {
    const config = readConfig({
      ...valid,
      HOST: '::',
      PORT: '0',
      AFILNET_TRANSPORT: 'basic',
      AFILNET_URL: 'https://other.example/api/',
      AFILNET_MAX_RESPONSE_BYTES: '1024',
      AFILNET_TIMEOUT_MS: '30000',
      AFILNET_CONNECTIONS: '7',
      AFILNET_TIMEZONE: 'Europe/Madrid',
      AFILNET_ROWS: 'destination-open',
      AFILNET_SENT: 'ignore',
      GATEWAY_KEY_SHA256: `${digest},${'cd'.repeat(32)}`,
      DRAIN_MS: '60000',
      DRAIN_DELAY_MS: '5000',
      PUBLIC_URL: 'https://example.com/chat-api/',
      ADMIN_HOST: '0.0.0.0',
      ADMIN_PORT: '0',
      RATE_LIMIT_PER_MINUTE: '600',
      TRUST_PROXY: '10.0.0.0/8, fd00::/8,192.0.2.1',
      CORS_ORIGINS: 'https://app.example.com,http://localhost:5173',
      DOCS: 'false',
      LOG_LEVEL: 'warn',
    })

    expect(config).toMatchObject({
      host: '::',
      port: 0,
      accounts: { default: { transport: 'basic', connections: 7, timezone: 'Europe/Madrid', rows: 'destination-open', sent: 'ignore' } },
      callers: { default: { keySha256: [digest, 'cd'.repeat(32)], rateLimit: { requestsPerMinute: 600 } } },
      adminHost: '0.0.0.0',
      adminPort: 0,
      trustProxy: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
      corsOrigins: ['https://app.example.com', 'http://localhost:5173'],
      maxResponseBytes: 1024,
      timeoutMs: 30_000,
      drainMs: 60_000,
      drainDelayMs: 5_000,
      docs: false,
      logLevel: 'warn',
    })
    expect(config.accounts.default?.url.href).toBe('https://other.example/api/')
    expect(config.publicUrl?.href).toBe('https://example.com/chat-api/')
  })

  test('keeps sends as long as it says, and unknown ones for 720 hours at least', () => {
    const hour = 3_600_000
    const kept = ['1', '1000'].map(hours => storePolicyOf(readConfig({ ...valid, SENDS_KEEP_HOURS: hours, STORE_MAX_MB: '3' })))

    expect(kept).toMatchObject([
      { keepMs: hour, keepUnknownMs: 720 * hour, maxBytes: 3 * 1_048_576 },
      { keepMs: 1_000 * hour, keepUnknownMs: 1_000 * hour },
    ])
  })

  test('traces where a collector is named, and hides what it tells the collector', () => {
    const given = { ...valid, OTEL_EXPORTER_OTLP_HEADERS: 'api-key=fake-api-key%3D=, X-Team=chat' }
    const config = readConfig({ ...given, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' })

    expect(readConfig(given).tracing).toBeUndefined()
    expect(config.tracing).toEqual({
      endpoint: new URL('http://collector:4318'),
      headers: { 'api-key': 'fake-api-key==', 'X-Team': 'chat' },
      serviceName: 'afilnet-gateway',
      sampler: 'parentbased_always_on',
      ratio: 1,
    })
    expect(
      readConfig({ ...given, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_TRACES_SAMPLER_ARG: '0.25' }).tracing?.ratio,
    ).toBe(0.25)
    expect(JSON.stringify(describeConfig(config))).toContain('"OTEL_EXPORTER_OTLP_HEADERS":{"api-key":"<set>","X-Team":"<set>"}')
    expect(warningsOf(config)).toEqual([expect.stringContaining('plain http')])
    for (const endpoint of ['https://collector:4318', 'http://127.0.0.1:4318'])
      expect(warningsOf(readConfig({ ...given, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }))).toEqual([])
  })

  test.for([
    ['post', 'https://www.afilnet.com/api/http/'],
    ['basic', 'https://www.afilnet.com/api/basic/'],
    ['get', 'https://www.afilnet.com/api/http/'],
  ])('goes by %s to %s', ([transport, url]) => {
    const config = readConfig({ ...valid, AFILNET_TRANSPORT: transport })

    expect(config.accounts.default?.url.href).toBe(url)
  })

  test('takes an empty variable for one that is not there', () => {
    const config = readConfig({ ...valid, HOST: '', PORT: '', PUBLIC_URL: '', AFILNET_PASSWORD_FILE: '' })

    expect(config).toEqual(readConfig(valid))
  })

  test.for([
    [{ AFILNET_TIMEOUT_MS: '20000' }, 25_000],
    [{ DRAIN_DELAY_MS: '5000' }, 20_000],
    [{ DRAIN_MS: '11000' }, 11_000],
  ] as const)('gives a slower Afilnet longer to drain: %j', ([environment, drainMs]) => {
    expect(readConfig({ ...valid, ...environment }).drainMs).toBe(drainMs)
  })

  test('has Afilnet fetch files where callers come in, unless it says otherwise', () => {
    const urlWith = (environment: Environment) => readConfig({ ...valid, PUBLIC_URL: 'https://chat.example.com', ...environment }).media.url

    expect(urlWith({})?.host).toBe('chat.example.com')
    expect(urlWith({ MEDIA_URL: 'https://media.example.com' })?.host).toBe('media.example.com')
  })

  test('cannot be changed', () => {
    const config = readConfig(valid)

    for (const part of [
      config,
      config.accounts,
      config.accounts.default,
      config.callers,
      config.callers.default,
      config.callers.default?.scopes,
    ])
      expect(Object.isFrozen(part)).toBe(true)
  })
})

describe('A mistake', () => {
  test.for([
    ['AFILNET_USER', undefined],
    ['AFILNET_USER', ''],
    ['AFILNET_USER', ' '],
    ['AFILNET_PASSWORD', ' '],
    ['STORE_URL', 'sqlite://user:fake-password@host/x'],
    ['STORE_URL', 'mysql:x'],
    ['STORE_URL', 'redis://user:fake-password@host:99999'],
    ['STORE_URL', 'redis+sentinel://user:fake-password@host'],
    ['AFILNET_PASSWORD', undefined],
    ['AFILNET_PASSWORD', ''],
    ['AFILNET_PASSWORD', 'change-me'],
    ['AFILNET_PASSWORD', 'password'],
    ['AFILNET_PASSWORD', 'fake-sandbox-password'],
    ['AFILNET_PASSWORD', 'fake-sandbox-password '],
    ['GATEWAY_KEY_SHA256', undefined],
    ['GATEWAY_KEY_SHA256', 'ab'.repeat(31)],
    ['GATEWAY_KEY_SHA256', `${digest},${digest},${digest}`],
    ['GATEWAY_KEY_SHA256', `${digest}, ${digest}`],
    ['GATEWAY_KEY_SHA256', '0'.repeat(64)],
    ['GATEWAY_KEY_SHA256', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'], // of nothing
    ['GATEWAY_KEY_SHA256', '5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8'], // of "password"
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '3e3'],
    ['PORT', '3000 '],
    ['PORT', '0x10'],
    ['AFILNET_URL', 'http://www.afilnet.com/api/http/'],
    ['AFILNET_URL', 'http://sandbox.example.com/'],
    ['AFILNET_URL', 'http://127.0.0.1.example.com/'],
    ['AFILNET_URL', 'ftp://127.0.0.1/'],
    ['AFILNET_URL', 'https://www.afilnet.com/#x'],
    ['AFILNET_URL', '/api/http/'],
    ['AFILNET_MAX_RESPONSE_BYTES', '1023'],
    ['AFILNET_TIMEOUT_MS', '0'],
    ['AFILNET_TIMEOUT_MS', '3600001'],
    ['AFILNET_CONNECTIONS', '0'],
    ['AFILNET_TIMEZONE', '+01:00'],
    ['DRAIN_MS', '10999'],
    ['DRAIN_MS', 'soon'],
    ['DRAIN_DELAY_MS', '-5'],
    ['PUBLIC_URL', 'example.com'],
    ['PUBLIC_URL', 'https://example.com/?x'],
    ['PUBLIC_URL', 'ws://example.com/'],
    ['TRUST_PROXY', 'loopback'],
    ['TRUST_PROXY', '10.1.0.0/16,'],
    ['TRUST_PROXY', '0.0.0.0/0'],
    ['TRUST_PROXY', 'fe80::1%eth0'],
    ['CORS_ORIGINS', '*'],
    ['CORS_ORIGINS', 'null'],
    ['CORS_ORIGINS', 'https://app.example.com,*.example.com'],
    ['RATE_LIMIT_PER_MINUTE', '0'],
    ['ADMIN_PORT', '65536'],
    ['DOCS', 'TRUE'],
    ['LOG_LEVEL', 'verbose'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https://user:word@collector:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://collector:4318/?key=word'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'fake-api-key'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api-key='],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api key=fake-api-key'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api-key=fake%0d%0aapi-key'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'api-key=fake-api-key%'],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5'],
    ['OTEL_TRACES_SAMPLER_ARG', '10%'],
    ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
  ] as const)('in %s (%s) is reported by the name of the variable', ([name, value]) => {
    const issues = issuesOf({ ...valid, [name]: value })

    expect(Object.keys(issues)).toEqual([name])
    expect(issues[name]).toMatch(/^\S+ \S+ \w+/)
    if (value && value.length > 16 && name !== 'CORS_ORIGINS') expect(issues[name]).not.toContain(value)
  })

  test.for(['127.0.0.1:4010', '127.1', 'localhost:4010', 'sandbox:4010', '[::1]:4010'])(
    'is not plain http to %s, or the sandbox’s password',
    host => {
      const environment = { ...valid, AFILNET_URL: `http://${host}/api/http/`, AFILNET_PASSWORD: 'fake-sandbox-password' }

      expect(issuesOf(environment)).toEqual({})
    },
  )

  test('is a user with a colon where Basic would cut it', () => {
    const environment = { ...valid, AFILNET_USER: 'ops:x', AFILNET_TRANSPORT: 'basic' }

    expect(Object.keys(issuesOf(environment))).toEqual(['AFILNET_USER'])
    expect(issuesOf({ ...environment, AFILNET_TRANSPORT: 'post' })).toEqual({})
  })

  test('never hides another one, and never shows a secret', () => {
    const secret = 'fake-canary-secret'
    const environment = {
      PORT: 'http',
      AFILNET_USER: '',
      AFILNET_PASSWORD: secret,
      AFILNET_PASSWORD_FILE: file(secret),
      AFILNET_TRANSPORT: secret,
      AFILNET_URL: `https://x:${secret}@example.com/`,
      AFILNET_TIMEOUT_MS: '0',
      AFILNET_TIMEZONE: secret,
      GATEWAY_KEY_SHA256: secret,
      DRAIN_MS: 'soon',
      PUBLIC_URL: secret,
      DOCS: secret,
      LOG_LEVEL: secret,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
    }

    const issues = issuesOf(environment)

    const paths = Object.keys(environment).filter(name => name !== 'AFILNET_PASSWORD_FILE')
    expect(Object.keys(issues).sort()).toEqual(paths.sort())
    expect(JSON.stringify(issues)).not.toContain(secret)
  })
})

describe('A secret in a file', () => {
  test.for([
    ['as it is', 'p\n w ', 'p\n w '],
    ['without the newline at its end', 'pa55\n', 'pa55'],
    ['without the newline of Windows', 'pa55\r\n', 'pa55'],
    ['with the second newline at its end', 'pa55\n\n', 'pa55\n'],
    ['that is not ASCII', 'contraseña\n', 'contraseña'],
  ] as const)('is read %s', ([, content, password]) => {
    const config = readConfig({ ...valid, AFILNET_PASSWORD: undefined, AFILNET_PASSWORD_FILE: file(content) })

    expect(config.accounts.default?.password).toBe(password)
  })

  test('may be each of the secrets', () => {
    const config = readConfig({
      AFILNET_USER_FILE: file('ops@example.com\n'),
      AFILNET_PASSWORD_FILE: file('pa$$ word\n'),
      GATEWAY_KEY_SHA256_FILE: file(`${digest}\n`),
    })

    expect({ ...config, files: {} }).toEqual(readConfig(valid))
    expect(Object.keys(config.files)).toHaveLength(3)
  })

  test.for([
    ['an example in other letters', { AFILNET_PASSWORD: undefined, AFILNET_PASSWORD_FILE: file('Password \n') }],
    ['given twice', { AFILNET_PASSWORD_FILE: file('other') }],
  ])('must not be %s', ([, environment]) => {
    const issues = issuesOf({ ...valid, ...(environment as Environment) })

    expect(Object.keys(issues)).toEqual(['AFILNET_PASSWORD'])
    expect(issues.AFILNET_PASSWORD).not.toMatch(/pa\$\$|other/)
  })
})

describe('READ_BACK', () => {
  test.for<[Record<string, string>, unknown]>([
    [{}, 'off: it needs AFILNET_TIMEZONE or events, and no AFILNET_SENT=ignore'],
    [{ AFILNET_TIMEZONE: 'Europe/Madrid', AFILNET_SENT: 'ignore' }, expect.stringMatching(/^off: .*AFILNET_SENT=ignore$/)],
    [{ AFILNET_TIMEZONE: 'Europe/Madrid' }, true],
    [{ EVENTS_CHANNELS: '*' }, true],
    [{ AFILNET_TIMEZONE: 'Europe/Madrid', READ_BACK: 'false' }, false],
  ])('--check says whether unknown sends are looked for: %j', ([more, shown]) => {
    expect(describeConfig(readConfig({ ...valid, ...more })).READ_BACK).toEqual(shown)
  })
})
