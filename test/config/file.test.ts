import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { describeConfig, warningsOf } from '../../src/config/describe.ts'
import type { Environment } from '../../src/config/variables.ts'
import { file, folder, issuesOf } from './setup.ts'

const digest = (n: number) => `${n}b`.repeat(32)
const account = () => ({ user: 'ops@example.com', password: { env: 'MAIN_PASSWORD' } })
const caller = (n = 1) => ({ keySha256: [digest(n)], account: 'main', scopes: ['messages:read'] })
const valid = () => ({ accounts: { main: account() }, callers: { crm: caller() } })
const secrets = { MAIN_PASSWORD: 'fake-canary-password' }

const environmentOf = (content: unknown, environment: Environment = {}) => ({
  ...secrets,
  GATEWAY_CONFIG: file(typeof content === 'string' ? content : JSON.stringify(content)),
  ...environment,
})
const read = (content: unknown, environment?: Environment) => readConfig(environmentOf(content, environment))
const issuesIn = (content: unknown, environment?: Environment) => issuesOf(environmentOf(content, environment))

describe('A configuration file', () => {
  test('names accounts and callers, and leaves all else to the environment', () => {
    const config = read(
      { $schema: './x.json', $comment: 'mine', ...valid() },
      { PORT: '0', AFILNET_CONNECTIONS: '7', AFILNET_TIMEOUT_MS: '2000' },
    )

    expect(config).toMatchObject({ port: 0, timeoutMs: 2000 })
    expect(config.accounts).toEqual({
      main: {
        user: 'ops@example.com',
        password: 'fake-canary-password',
        transport: 'post',
        url: new URL('https://www.afilnet.com/api/http/'),
        connections: 7,
      },
    })
    expect(config.callers).toEqual({ crm: caller() })
  })

  test('has everything that a row can say', () => {
    const all = {
      ...caller(),
      $comment: 'the team of sales',
      scopes: ['messages:read', 'messages:send'],
      keySha256: [digest(1), digest(2)],
      chats: ['whatsapp/100/*'],
      expires: '2027-01-31T00:00:00+01:00',
      rateLimit: { requestsPerMinute: 600, sendsPerDay: 1000 },
      disabled: false,
    }
    const main = {
      ...account(),
      $comment: 'x',
      transport: 'basic',
      url: 'https://other.example/api/',
      connections: 3,
      timezone: 'Europe/Madrid',
    }

    const config = read({ accounts: { main }, callers: { crm: all } })

    const { $comment, ...row } = all
    expect(config.callers.crm).toEqual(row)
    expect(config.accounts.main).toMatchObject({ transport: 'basic', connections: 3, timezone: 'Europe/Madrid' })
    expect(config.accounts.main?.url.href).toBe('https://other.example/api/')
  })

  test('takes a password from a file, without the newline at its end', () => {
    const password = { file: file('pa$$ w\n') }

    expect(read({ ...valid(), accounts: { main: { ...account(), password } } }).accounts.main?.password).toBe('pa$$ w')
    expect(read(valid(), { MAIN_PASSWORD: 'pa$$ w\n' }).accounts.main?.password).toBe('pa$$ w\n')
  })

  test('can name things like the properties of every object', () => {
    const config = read({ accounts: { constructor: account() }, callers: { constructor: { ...caller(), account: 'constructor' } } })

    expect(config.callers.constructor).toMatchObject({ account: 'constructor' })
    expect(issuesIn({ ...valid(), callers: { crm: { ...caller(), account: 'toString' } } })).toHaveProperty(['callers.crm.account'])
  })

  test('may hold keys that have expired, and warns of them', () => {
    const config = read({ ...valid(), callers: { crm: { ...caller(), expires: '2020-01-31T00:00:00Z' }, shop: caller(2) } })

    expect(warningsOf(config)).toEqual(['caller crm: its keys have expired'])
  })

  test('warns of the get transport by the name of its account', () => {
    const config = read({ accounts: { main: { ...account(), transport: 'get' }, other: account() }, callers: { crm: caller() } })

    expect(warningsOf(config)).toEqual([expect.stringMatching(/^account main: the get transport/)])
  })

  test('warns of a property that the transport does not use', () => {
    const config = read({ accounts: { main: { ...account(), wsdl: './a.wsdl' } }, callers: { crm: caller() } })

    expect(warningsOf(config)).toEqual(['accounts.main.wsdl is not used: it is for the transport soap, and the transport is post'])
  })

  test('says in which accounts an unknown send cannot be looked for', () => {
    const accounts = { main: { ...account(), timezone: 'Europe/Madrid' }, other: account() }

    expect(describeConfig(read({ ...valid(), accounts })).READ_BACK).toBe(
      'off for other: it needs a timezone or events, and no sent=ignore',
    )
  })
})

describe('A mistake in the file', () => {
  test.for<[string, unknown, string]>([
    ['no user', { user: undefined }, 'accounts.main.user'],
    ['an empty user', { user: ' ' }, 'accounts.main.user'],
    ['no password', { password: undefined }, 'accounts.main.password'],
    ['a password from nowhere', { password: {} }, 'accounts.main.password'],
    ['a password from two places', { password: { env: 'MAIN_PASSWORD', file: '/x' } }, 'accounts.main.password'],
    ['a variable that is a word of JavaScript', { password: { env: 'constructor' } }, 'accounts.main.password'],
    ['a file that is not there', { password: { file: '/nowhere/fake-canary' } }, 'accounts.main.password'],
    ['a directory for a file', { password: { file: folder } }, 'accounts.main.password'],
    ['an empty password', { password: { file: file('\n') } }, 'accounts.main.password'],
    ['a blank password', { password: { file: file(' \n') } }, 'accounts.main.password'],
    ['an example for a password', { password: { file: file('change-me\n') } }, 'accounts.main.password'],
    ['the password of the sandbox', { password: { file: file('fake-sandbox-password') } }, 'accounts.main.password'],
    ['an unknown transport', { transport: 'ftp' }, 'accounts.main.transport'],
    ['plain http', { url: 'http://www.afilnet.com/api/http/' }, 'accounts.main.url'],
    ['credentials in the URL', { url: 'https://x:fake-canary@example.com/' }, 'accounts.main.url'],
    ['no connections', { connections: 0 }, 'accounts.main.connections'],
    ['connections beyond all', { connections: 65_536 }, 'accounts.main.connections'],
    ['connections of nothing', { connections: null }, 'accounts.main.connections'],
    ['connections as text', { connections: '5' }, 'accounts.main.connections'],
    ['an unknown zone', { timezone: 'Mars/Olympus' }, 'accounts.main.timezone'],
    ['a colon with basic', { user: 'a:b', transport: 'basic' }, 'accounts.main.user'],
    ['no user with basic', { user: undefined, transport: 'basic' }, 'accounts.main.user'],
    ['a blank scope', { scope: ' ' }, 'accounts.main.scope'],
    ['events of no channel', { events: { channels: [] } }, 'accounts.main.events.channels'],
    ['events too often', { events: { channels: ['*'], intervalMs: 999 } }, 'accounts.main.events.intervalMs'],
    ['a property with a slash', { 'a/b~': 1 }, 'accounts.main["a/b~"]'],
  ])('that is %s of an account is named by its path', ([, change, path]) => {
    const issues = issuesIn({ ...valid(), accounts: { main: { ...account(), ...(change as object) } } })

    expect(Object.keys(issues)).toEqual([path])
    expect(issues[path]).toMatch(/\w+ \w+/)
  })

  test.for<[string, unknown, string]>([
    ['no digest', { keySha256: undefined }, 'callers.crm.keySha256'],
    ['an empty list of digests', { keySha256: [] }, 'callers.crm.keySha256'],
    ['three digests', { keySha256: [digest(1), digest(2), digest(3)] }, 'callers.crm.keySha256'],
    ['a digest that was cut off', { keySha256: [digest(1).slice(1)] }, 'callers.crm.keySha256[0]'],
    ['an upper-case digest', { keySha256: [digest(1), digest(2).toUpperCase()] }, 'callers.crm.keySha256[1]'],
    ['the digest of an example', { keySha256: ['0'.repeat(64)] }, 'callers.crm.keySha256[0]'],
    ['no account', { account: undefined }, 'callers.crm.account'],
    ['no scopes', { scopes: undefined }, 'callers.crm.scopes'],
    ['a pattern of two segments', { chats: ['whatsapp/100'] }, 'callers.crm.chats[0]'],
    ['a star in the middle', { chats: ['whatsapp/100/*', 'whatsapp/1*0/*'] }, 'callers.crm.chats[1]'],
    ['an end that is no time', { expires: 'tomorrow' }, 'callers.crm.expires'],
    ['an end without a zone', { expires: '2027-01-31T00:00:00' }, 'callers.crm.expires'],
    ['an end on a day that is not', { expires: '2027-02-30T00:00:00Z' }, 'callers.crm.expires'],
    ['an end at an hour that is not', { expires: '2027-02-03T25:00:00Z' }, 'callers.crm.expires'],
    ['a limit beyond all', { rateLimit: { sendsPerDay: 1e300 } }, 'callers.crm.rateLimit.sendsPerDay'],
    ['a limit of nothing', { rateLimit: { requestsPerMinute: 0 } }, 'callers.crm.rateLimit.requestsPerMinute'],
    ['an unknown limit', { rateLimit: { perHour: 1 } }, 'callers.crm.rateLimit.perHour'],
    ['disabled as text', { disabled: 'yes' }, 'callers.crm.disabled'],
    ['a misspelt property', { scope: ['messages:read'] }, 'callers.crm.scope'],
  ])('that is %s of a caller is named by its path', ([, change, path]) => {
    const issues = issuesIn({ ...valid(), callers: { crm: { ...caller(), ...(change as object) } } })

    expect(Object.keys(issues)).toEqual([path])
    expect(issues[path]).toMatch(/\w+ \w+/)
  })

  test.for(['CRM', '-crm', 'a_b', 'a.b', '', 'x'.repeat(64), 'ca/ll', '__proto__'])('is the caller’s name %j', name => {
    const paths = Object.keys(
      issuesIn(`{"accounts":{"main":${JSON.stringify(account())}},"callers":{${JSON.stringify(name)}:${JSON.stringify(caller())}}}`),
    )

    expect(paths).toHaveLength(1)
    expect(paths[0]).toMatch(/^callers[.[]/)
  })

  test('is one digest twice for one caller', () => {
    const issues = issuesIn({ ...valid(), callers: { crm: { ...caller(1), keySha256: [digest(1), digest(1)] } } })

    expect(issues).toEqual({ 'callers.crm.keySha256[1]': 'is the digest of callers.crm.keySha256[0] too; remove one of them' })
  })

  test('is one digest for two callers', () => {
    const issues = issuesIn({ ...valid(), callers: { crm: { ...caller(1), keySha256: [digest(1), digest(2)] }, shop: caller(2) } })

    expect(issues).toEqual({
      'callers.shop.keySha256[0]': 'is the digest of callers.crm.keySha256[1] too; each caller needs a key of its own',
    })
  })

  test.for<[string, unknown, string[]]>([
    ['not there', undefined, ['GATEWAY_CONFIG']],
    ['not JSON', '{"accounts":', ['GATEWAY_CONFIG']],
    ['JSON with comments', '{ // fake-canary\n }', ['GATEWAY_CONFIG']],
    ['empty', '', ['GATEWAY_CONFIG']],
    ['a list', '[]', ['GATEWAY_CONFIG']],
    ['an empty object', '{}', ['accounts', 'callers']],
    ['without an account', { ...valid(), accounts: {} }, ['accounts', 'callers.crm.account']],
    ['without a caller', { ...valid(), callers: {} }, ['callers']],
    ['with a list of callers', { ...valid(), callers: [caller()] }, ['callers']],
    ['with a property that it does not have', { ...valid(), extra: 1 }, ['extra']],
    ['with one caller twice', JSON.stringify(valid()).replace('"crm":', '"crm":{},"crm":'), ['GATEWAY_CONFIG']],
  ])('is a file that is %s', ([, content, paths]) => {
    const issues = issuesIn(content ?? '', content === undefined ? { GATEWAY_CONFIG: join(folder, 'nothing') } : {})

    expect(Object.keys(issues)).toEqual(paths)
  })

  test('is named by its number if its name may be a misplaced secret', () => {
    const key = 'afgw_fake-canary_0123456789abcdefghijklmnopqrstuv'

    expect(Object.keys(issuesIn({ ...valid(), callers: { crm: caller(), [key]: caller(2) } }))).toEqual(['callers[#2]'])
    expect(Object.keys(issuesIn({ ...valid(), accounts: { main: { ...account(), [key]: 1 } } }))).toEqual(['accounts.main[#3]'])
    expect(Object.keys(issuesIn({ ...valid(), [key]: 1 }))).toEqual(['[#3]'])
  })

  test('says where the JSON ends to be any', () => {
    expect(issuesIn('{\n  "accounts": {,\n}').GATEWAY_CONFIG).toBe('is not valid JSON (line 2 column 16)')
  })

  test('is a variable beside it that it replaces', () => {
    const beside = {
      AFILNET_USER: 'x',
      AFILNET_PASSWORD_FILE: '/nowhere/fake-canary',
      AFILNET_TRANSPORT: 'post',
      AFILNET_URL: 'https://example.com/',
      AFILNET_TIMEZONE: 'UTC',
      GATEWAY_KEY_SHA256: digest(1),
      RATE_LIMIT_PER_MINUTE: '5',
      EVENTS_CHANNELS: '*',
      EVENTS_INTERVAL_MS: '1000',
    }

    const issues = issuesIn(valid(), beside)

    expect(Object.keys(issues).sort()).toEqual(
      Object.keys(beside)
        .map(name => name.replace('_FILE', ''))
        .sort(),
    )
    expect(new Set(Object.values(issues))).toEqual(new Set(['must not be set together with GATEWAY_CONFIG, which replaces it']))
  })

  test('never hides another one, of form or of meaning, in the file or beside it', () => {
    const content = {
      accounts: { main: { ...account(), transport: 'ftp', url: 'http://example.com/' }, 'b c': { user: 5, password: 'fake-canary' } },
      callers: {
        crm: { ...caller(), account: 'mian', scopes: ['messages:read', 'fake-canary'], chats: ['x'] },
        shop: { ...caller(), expires: '2027-02-30T00:00:00Z' },
        CRM: {},
      },
      extra: true,
    }

    const issues = issuesIn(content, { PORT: 'http', DRAIN_MS: 'soon', CORS_ORIGINS: '*' })

    expect(Object.keys(issues).sort()).toEqual(
      [
        'PORT',
        'DRAIN_MS',
        'CORS_ORIGINS',
        'extra',
        'accounts.main.transport',
        'accounts.main.url',
        'accounts["b c"]',
        'accounts["b c"].user',
        'accounts["b c"].password',
        'callers.crm.account',
        'callers.crm.scopes[1]',
        'callers.crm.chats[0]',
        'callers.shop.keySha256[0]',
        'callers.shop.expires',
        'callers.CRM',
        'callers.CRM.keySha256',
        'callers.CRM.account',
        'callers.CRM.scopes',
      ].sort(),
    )
  })
})

describe('The annotated example', () => {
  const text = readFileSync(new URL('../../openapi/gateway-config.example.json', import.meta.url), 'utf8')

  test('is a valid configuration once its secrets are there, and not before', () => {
    const real = text
      .replace('/run/secrets/afilnet-main', file('fake-main-password'))
      .replace('/run/secrets/afilnet-brand-c', file('fake-brand-c-secret'))
      .replace('/run/secrets/afilnet-brand-d', file('fake-brand-d-password'))
      .replace(/"keySha256": \["(\w+)"\]/g, (_, example) => `"keySha256": ["${hash('sha256', example)}"]`)

    const config = read(real, { AFILNET_BRAND_B_PASSWORD: 'fake-brand-password' })

    expect(Object.keys(config.accounts)).toEqual(['main', 'brand-b', 'brand-c', 'brand-d'])
    expect(Object.keys(config.callers)).toEqual(['crm', 'campaign-2027'])
    expect(Object.keys(issuesIn(text))).toEqual([
      'accounts.main.password',
      'accounts.brand-b.password',
      'accounts.brand-c.clientSecret',
      'accounts.brand-d.password',
      'callers.crm.keySha256[0]',
      'callers.campaign-2027.keySha256[0]',
    ])
  })

  test('uses every property that there is', () => {
    const { properties } = JSON.parse(readFileSync(new URL('../../openapi/gateway-config.schema.json', import.meta.url), 'utf8'))
    const keysOf = (section: string) =>
      Object.keys(Object.values<{ properties: object }>(properties[section].patternProperties)[0]?.properties ?? {})
    const rows = JSON.parse(text)

    for (const section of ['accounts', 'callers']) {
      const used = new Set(Object.values<object>(rows[section]).flatMap(row => Object.keys(row)))
      expect(keysOf(section).filter(name => !used.has(name))).toEqual([])
    }
  })
})
