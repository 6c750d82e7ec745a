import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { scopes } from '../../src/access.ts'
import { readConfig } from '../../src/config/config.ts'
import { describeConfig, mediaWarningsOf, warningsOf, warningsOfChange } from '../../src/config/describe.ts'
import { type Environment, Variables } from '../../src/config/variables.ts'
import { file, folder, issueLines } from './setup.ts'

const digest = 'ab'.repeat(32)
const valid = { AFILNET_USER: 'ops@example.com', AFILNET_PASSWORD: 'fake-canary', GATEWAY_KEY_SHA256: digest }
const inFile = (content: Uint8Array) => ({ AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: file(content) })

const mapValues = <T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]))

const milliseconds = 'a number of milliseconds (1 to 3600000)'
const queueKey = Buffer.alloc(32, 7).toString('base64')
const proxy =
  'direct, or the URL of an http or https proxy such as http://user:password@proxy.internal:3128 (escape % @ : / ? # in user and password)'
const url = 'an absolute URL such as https://chat.example.com'

describe('An issue', () => {
  test.for<[Environment, string]>([
    [{ PORT: 'abc' }, 'PORT: "abc" is not a port (0 to 65535)'],
    [{ PORT: '3000/tcp' }, 'PORT: "3000/tcp" is not a port (0 to 65535); write 3000'],
    [{ PORT: 'a:fake@b' }, 'PORT: the value is not a port (0 to 65535)'],
    [{ PORT: ' 3000 ' }, 'PORT: " 3000 " is not a port (0 to 65535); write 3000'],
    [{ HOST: '999.1.1.1' }, 'HOST: "999.1.1.1" is not an IP address or a host name'],
    [{ HOST: '*' }, 'HOST: "*" is not an IP address or a host name; write 0.0.0.0 or ::'],
    [{ ADMIN_HOST: '[::1' }, 'ADMIN_HOST: "[::1" is not an IP address or a host name'],
    [{ ADMIN_HOST: '[localhost]' }, 'ADMIN_HOST: the value is not an IP address or a host name'],
    [{ ADMIN_HOST: '0.0.0.0:3001' }, 'ADMIN_HOST: "0.0.0.0:3001" is not an IP address or a host name; write the port into ADMIN_PORT'],
    [{ ADMIN_HOST: '[::1]:3001' }, 'ADMIN_HOST: "[::1]:3001" is not an IP address or a host name; write the port into ADMIN_PORT'],
    [{ HOST: 'a.'.repeat(127) }, 'HOST: the value is not an IP address or a host name'],
    [{ PORT: '3001', ADMIN_PORT: '3001' }, 'ADMIN_PORT: 3001 is the port of PORT too; use another one'],
    [{ PORT: '3001', ADMIN_PORT: '3001', HOST: '::' }, 'ADMIN_PORT: 3001 is the port of PORT too; use another one'],
    [{ PORT: '3001', ADMIN_PORT: '3001', ADMIN_HOST: '0.0.0.0' }, 'ADMIN_PORT: 3001 is the port of PORT too; use another one'],
    [{ AFILNET_TIMEOUT_MS: '10s' }, `AFILNET_TIMEOUT_MS: "10s" is not ${milliseconds}; write 10000`],
    [{ AFILNET_TIMEOUT_MS: '10,000' }, `AFILNET_TIMEOUT_MS: "10,000" is not ${milliseconds}; write 10000`],
    [{ SENDS_KEEP_HOURS: '7d' }, 'SENDS_KEEP_HOURS: "7d" is not a number of hours (1 to 87600); write 168'],
    [{ KEEP_ALIVE_MS: '500' }, 'KEEP_ALIVE_MS: "500" is not a number of milliseconds (1000 to 620000)'],
    [{ DRAIN_MS: '5000' }, 'DRAIN_MS: 5000 is less than AFILNET_TIMEOUT_MS + 1000 (11000)'],
    [{ DOCS: 'yes' }, 'DOCS: "yes" is not true or false; write true'],
    [{ AFILNET_TRANSPORT: 'POST' }, 'AFILNET_TRANSPORT: "POST" is not one of post, basic, get, json, soap; write post'],
    [{ AFILNET_URL: 'https://u:fake-canary@example.com/' }, 'AFILNET_URL: contains credentials; remove them'],
    [{ AFILNET_URL: 'https://fake-canary@example.com/' }, 'AFILNET_URL: contains credentials; remove them'],
    [{ AFILNET_URL: 'https://:fake-canary@example.com/' }, 'AFILNET_URL: contains credentials; remove them'],
    [{ AFILNET_USER: '$' + '{AFILNET_USER}' }, 'AFILNET_USER: contains a placeholder of a template that was not replaced'],
    [
      { AFILNET_SCOPE: ' chat' },
      'AFILNET_SCOPE: " chat" is not a list of OAuth 2.0 scopes separated by single blanks; remove the blanks around it',
    ],
    [{ AFILNET_URL: 'https://example.com/?class=chat' }, 'AFILNET_URL: has a query or a fragment; remove it'],
    [{ PUBLIC_URL: 'ftp://chat.example.com' }, 'PUBLIC_URL: "ftp:" is not the protocol http or https'],
    [{ AFILNET_TIMEZONE: 'Europe/Madird' }, 'AFILNET_TIMEZONE: "Europe/Madird" is not an IANA time zone such as Europe/Madrid'],
    [
      { CORS_ORIGINS: 'https://a.example.com/' },
      'CORS_ORIGINS: "https://a.example.com/" is not an exact origin such as https://app.example.com',
    ],
    [
      { CORS_ORIGINS: 'https://a.example.com/fake-canary' },
      'CORS_ORIGINS: the value is not an exact origin such as https://app.example.com',
    ],
    [{ CORS_ORIGINS: 'https://*.example.com' }, 'CORS_ORIGINS: the value is not an exact origin such as https://app.example.com'],
    [
      { EVENTS_CHANNELS: 'whatsapp/100,sms/1' },
      'EVENTS_CHANNELS: "sms/1" is not a channel such as whatsapp/100, telegram/* or * (platforms: webchat, whatsapp, telegram, operator)',
    ],
    [
      { EVENTS_CHANNELS: 'whatsapp/34600000000/1' },
      'EVENTS_CHANNELS: the value is not a channel such as whatsapp/100, telegram/* or * (platforms: webchat, whatsapp, telegram, operator)',
    ],
    [{ OTEL_SERVICE_NAME: ' ' }, 'OTEL_SERVICE_NAME: is blank; write a name'],
    [{ PUBLIC_URL: ' https://chat.example.com' }, 'PUBLIC_URL: has blanks at its start or end; remove them'],
    [{ PUBLIC_URL: '/chat' }, `PUBLIC_URL: "/chat" is not ${url}`],
    [{ AFILNET_PROXY: 'http://proxy.internal:3128/path' }, `AFILNET_PROXY: the value is not ${proxy}`],
    [{ AFILNET_PROXY: 'http://proxy.internal:3128/?fake-canary' }, `AFILNET_PROXY: the value is not ${proxy}`],
    [{ AFILNET_PROXY: 'socks5://proxy.internal:1080/' }, `AFILNET_PROXY: the value is not ${proxy}`],
    [{ AFILNET_PROXY: 'http://ops:100%fake-canary@proxy.internal:3128' }, `AFILNET_PROXY: the value is not ${proxy}`],
    [{ AFILNET_PROXY: 'http://ops:fake-canary%E9@proxy.internal:3128' }, `AFILNET_PROXY: the value is not ${proxy}`],
    [{ AFILNET_PROXY: 'http://ops%:41fake-canary@proxy.internal:3128' }, `AFILNET_PROXY: the value is not ${proxy}`],
    [{ TRUST_PROXY: '10.0.0.0/8,::/0' }, 'TRUST_PROXY: "::/0" would trust every address'],
    [{ TRUST_PROXY: '10.0.0.0/33' }, 'TRUST_PROXY: "10.0.0.0/33" is not an address or a CIDR block'],
    [{ STORE_URL: `sqlite:${folder}` }, 'STORE_URL: names a directory; add the name of a file, as in sqlite:./data/gateway.sqlite'],
    [{ STORE_URL: 'sqlite:./data/' }, 'STORE_URL: names a directory; add the name of a file, as in sqlite:./data/gateway.sqlite'],
    [{ STORE_URL: 'sqlite:./data/gateway.sqlite ' }, 'STORE_URL: has blanks at the start or end of its path; remove them'],
    [{ STORE_URL: 'sqlite: ./data/gateway.sqlite' }, 'STORE_URL: has blanks at the start or end of its path; remove them'],
    [{ STORE_URL: 'sqlite::memory:\n' }, 'STORE_URL: has blanks at the start or end of its path; remove them'],
    [{ MEDIA_STORE: 'file:./data/media\t' }, 'MEDIA_STORE: has blanks at the start or end of its path; remove them'],
    [
      { GATEWAY_KEY_SHA256: 'afgw_fake-canary' },
      'GATEWAY_KEY_SHA256: is an API key; write its SHA-256 digest, which npm run key prints beside the key',
    ],
    [{ GATEWAY_KEY_SHA256: digest.toUpperCase() }, 'GATEWAY_KEY_SHA256: has upper-case letters; write the digest in lower-case hex'],
    [{ GATEWAY_KEY_SHA256: ` ${digest}` }, 'GATEWAY_KEY_SHA256: has blanks at its start or end; remove them'],
    [{ GATEWAY_KEY_SHA256: `sha256:${digest}` }, 'GATEWAY_KEY_SHA256: has a prefix; write only the 64 hex digits'],
    [{ GATEWAY_KEY_SHA256: `${digest},${digest}` }, 'GATEWAY_KEY_SHA256: contains the same digest twice'],
    [{ QUEUE_KEY: `${queueKey},${queueKey}` }, 'QUEUE_KEY: contains the same key twice'],
    [{ QUEUE_KEY: `${queueKey},${queueKey.replace('c=', 'd=')}` }, 'QUEUE_KEY: contains the same key twice'], // the same bytes
    [{ QUEUE_KEY: 'hunter2' }, 'QUEUE_KEY: the value is not 32 bytes in base64, or two such keys separated by a comma'],
    [
      { GATEWAY_CONFIG: folder, AFILNET_USER: '', AFILNET_PASSWORD: '', GATEWAY_KEY_SHA256: '' },
      'GATEWAY_CONFIG: the file is a directory, not a file',
    ],
  ])('says what was found and what to write: %j', ([environment, message]) => {
    expect(issueLines({ ...valid, ...environment })).toEqual([message])
  })

  test.for<[string, string]>([
    ['`fake-canary`', 'is wrapped in quotes; remove them'],
    ["'fake-canary'", 'is wrapped in quotes; remove them'],
    ['"fake-canary"', 'is wrapped in quotes; remove them'],
    ['fake-canary\\n', 'ends with \\n as two characters; remove them'],
    ['$' + '{FAKE_CANARY}', 'contains a placeholder of a template that was not replaced'],
    ['$(FAKE_CANARY)', 'contains a placeholder of a template that was not replaced'],
    ['{{ .Values.password }}', 'contains a placeholder of a template that was not replaced'],
    ['<your password>', 'is a placeholder such as <your password>, not a value'],
    ['fake\u200bcanary', 'contains an invisible or broken character'],
    ['fake-canary\u2060', 'contains an invisible or broken character'],
    ['contrase\ufffda', 'contains an invisible or broken character'],
    ['AFILNET_PASSWORD', 'is the value of an example, not a real password'],
    ['changeme', 'is the value of an example, not a real password'],
  ])('finds what is not part of a password: %s', ([password, message]) => {
    const inEnvironment = issueLines({ ...valid, AFILNET_PASSWORD: password })
    const fromFile = issueLines({ ...valid, ...inFile(Buffer.from(`${password}\n`)) })

    expect(inEnvironment).toEqual([`AFILNET_PASSWORD: ${message}`])
    expect(fromFile).toEqual(inEnvironment)
  })

  test.for<[string, () => Environment, string]>([
    [
      'with a byte order mark',
      () => inFile(Buffer.from('\ufefffake-canary')),
      'starts with a byte order mark; save it as UTF-8 without one',
    ],
    ['in UTF-16', () => inFile(Buffer.from('\ufefffake-canary', 'utf16le')), 'is UTF-16 or binary; save it as UTF-8'],
    ['in UTF-16 without a mark', () => inFile(Buffer.from('fake-canary', 'utf16le')), 'is UTF-16 or binary; save it as UTF-8'],
    ['in Latin-1', () => inFile(Buffer.from('contraseña', 'latin1')), 'is not UTF-8'],
    ['that is empty', () => inFile(Buffer.from('\n')), 'is empty'],
    ['that is a directory', () => ({ AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: folder }), 'is a directory, not a file'],
    ['that does not exist', () => ({ AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: join(folder, 'none') }), 'does not exist'],
  ])('says why a secret file cannot be used: one %s', ([, environment, fault]) => {
    expect(issueLines({ ...valid, ...environment() })).toEqual([`AFILNET_PASSWORD: the file that AFILNET_PASSWORD_FILE names ${fault}`])
  })

  test('is the empty file of a secret that has a default, or none', () => {
    const environment = { ...valid, STORE_URL_FILE: file(''), AFILNET_PROXY_FILE: file(''), QUEUE_KEY_FILE: file('\r\n') }

    expect(issueLines(environment).sort()).toEqual(
      ['AFILNET_PROXY', 'QUEUE_KEY', 'STORE_URL'].map(name => `${name}: the file that ${name}_FILE names is empty`),
    )
  })

  test('of the configuration file quotes what is not secret', () => {
    const content = {
      accounts: {
        a: { user: 'x', password: { env: 'NOPE' } },
        c: { user: 'x', password: { env: 'fakecanary0' } },
        d: { user: 'x', password: 'hunter2' },
        b: { user: 'x', pasword: 1, password: 'fake-canary' },
        'whatsapp-of-the-shop-in-madrid': { user: 'x', password: { env: 'NOPE' } },
      },
      callers: {
        x: { keySha256: ['afgw_fake-canary'], account: 'q', scopes: ['messages:write'], chats: ['whatsapp/1*0/346*'], surprise: true },
        y: { keySha256: [digest], account: 'afgw_fake-canary-0123456789', scopes: [] },
      },
    }

    expect(issueLines({ GATEWAY_CONFIG: file(JSON.stringify(content)) }).sort()).toEqual(
      [
        'accounts.a.password: the environment variable NOPE is not set',
        'accounts.whatsapp-of-the-shop-in-madrid.password: the environment variable NOPE is not set',
        'accounts.c.password: the environment variable is not set',
        'accounts.b.password: the value is not { "file": … } or { "env": … }; never write the password itself here',
        'accounts.d.password: the value is not { "file": … } or { "env": … }; never write the password itself here',
        'accounts.b.pasword: unknown property; did you mean password?',
        'callers.x.account: there is no account "q" (accounts: a, c, d, b, whatsapp-of-the-shop-in-madrid)',
        'callers.x.keySha256[0]: is an API key; write its SHA-256 digest, which npm run key prints beside the key',
        'callers.x.chats[0]: "whatsapp/1*0/346*" is not three segments such as whatsapp/100/34*, each a literal, a literal prefix and *, or *',
        `callers.x.scopes[0]: "messages:write" is not one of ${scopes.join(', ')}`,
        'callers.x.surprise: unknown property',
        'callers.y.account: there is no account of that name (accounts: a, c, d, b, whatsapp-of-the-shop-in-madrid)',
      ].sort(),
    )
    expect(issueLines({ GATEWAY_CONFIG: file('{\n"accounts":{},\n"callers":{"x":{}, "y":{},\n"x":{}}\n}') })).toContain(
      'GATEWAY_CONFIG: contains a duplicate key (line 4 column 1)',
    )
  })
})

describe('An empty list', () => {
  test('is called empty', () => {
    const text = JSON.stringify({ accounts: {}, callers: { x: { keySha256: [], account: 'a', scopes: [] } } })

    expect(issueLines({ GATEWAY_CONFIG: file(text) })).toEqual(
      expect.arrayContaining([
        'accounts: an empty object is not an object with at least one property',
        'callers.x.keySha256: an empty list is not a list of one or two digests',
      ]),
    )
  })
})

describe('A warning', () => {
  test.for<[Environment, string]>([
    [{ IDEMPOTENCY_REQUIRE: 'true' }, 'IDEMPOTENCY_REQUIRE is not a variable of the gateway; did you mean IDEMPOTENCY_REQUIRED?'],
    [{ AFILNET_TIMEOUT: '5000' }, 'AFILNET_TIMEOUT is not a variable of the gateway; did you mean AFILNET_TIMEOUT_MS?'],
    [{ AFILNET_USERNAME: 'x' }, 'AFILNET_USERNAME is not a variable of the gateway; did you mean AFILNET_USER?'],
    [{ AFILNET_UR: 'x' }, 'AFILNET_UR is not a variable of the gateway; did you mean AFILNET_URL?'],
    [
      { AFILNET_PASSWORD_FILE_PATH: 'x' },
      'AFILNET_PASSWORD_FILE_PATH is not a variable of the gateway; did you mean AFILNET_PASSWORD_FILE?',
    ],
    [{ AFILNET_MAX_RESPONSE: '1' }, 'AFILNET_MAX_RESPONSE is not a variable of the gateway; did you mean AFILNET_MAX_RESPONSE_BYTES?'],
    [{ AFLINET_URL: 'x' }, 'AFLINET_URL is not a variable of the gateway; did you mean AFILNET_URL?'],
    [{ AFILNET_URL_FILE: 'x' }, 'AFILNET_URL_FILE is not a variable of the gateway; did you mean AFILNET_URL?'],
    [{ port: '3000' }, 'port is not a variable of the gateway; did you mean PORT?'],
    [
      { https_proxy: 'http://x' },
      'https_proxy is set, but the gateway does not use it: set AFILNET_PROXY, or AFILNET_PROXY=direct for no proxy',
    ],
    [
      { ALL_PROXY: 'http://x' },
      'ALL_PROXY is set, but the gateway does not use it: set AFILNET_PROXY, or AFILNET_PROXY=direct for no proxy',
    ],
    [{ PUBLIC_URL: 'http://chat.example.com' }, 'PUBLIC_URL is plain http: callers send their API keys unencrypted'],
    [{ TRUST_PROXY: '10.0.0.0/7' }, 'TRUST_PROXY: 10.0.0.0/7 lets many addresses of the internet choose the address that the gateway sees'],
    [{ AFILNET_USER: 'ops@example.com ' }, 'account default: the user has blanks or line breaks that are probably not part of it'],
    [{ AFILNET_PASSWORD: 'fake-canary ' }, 'account default: the password has blanks or line breaks that are probably not part of it'],
    [{ AFILNET_PASSWORD: 'fake\ncanary' }, 'account default: the password has blanks or line breaks that are probably not part of it'],
    [
      { TRUST_PROXY: '10.0.0.0/8', KEEP_ALIVE_MS: '59999' },
      'KEEP_ALIVE_MS is 59999: it must exceed the idle timeout of the proxy in front, which is often 60 seconds',
    ],
  ])('names what is probably not meant: %j', ([environment, warning]) => {
    expect(warningsOf(readConfig({ ...valid, ...environment }))).toEqual([warning])
  })

  const local = { AFILNET_URL: 'http://127.0.0.1:4010/api/http/' }
  const shared = { PUBLIC_URL: 'https://chat.example.com', STORE_URL: 'redis://cache.example.com' }
  test.for<[Environment, RegExp[]]>([
    [{}, [/^MEDIA_URL and PUBLIC_URL are not set/]],
    [{ MEDIA_URL: 'https://media.example.com' }, []],
    [local, []],
    [{ ...local, STORE_URL: shared.STORE_URL }, []],
    [shared, [/^MEDIA_STORE is a folder/]],
    [{ ...shared, STORE_URL: 'sqlite::memory:' }, []],
    [{ ...shared, MEDIA_STORE: 's3://bucket' }, []],
  ])('of --check says what uploads would meet: %j', ([environment, expected]) => {
    expect(mediaWarningsOf(readConfig({ ...valid, ...environment }))).toEqual(expected.map(form => expect.stringMatching(form)))
  })

  test('of --check about uploads is given where one of several accounts is not on this machine', () => {
    const account = { user: 'x', password: { env: 'SECRET' } }
    const accounts = { a: account, b: { ...account, url: local.AFILNET_URL } }
    const GATEWAY_CONFIG = file(JSON.stringify({ accounts, callers: { x: { keySha256: [digest], account: 'a', scopes: [] } } }))

    expect(mediaWarningsOf(readConfig({ GATEWAY_CONFIG, SECRET: 'fake-canary' }))).toHaveLength(1)
  })

  test('comes with the issues too, since a misspelt variable may explain one that is missing', () => {
    const { AFILNET_PASSWORD, ...rest } = valid
    const read = () => readConfig({ ...rest, AFILNET_PASWORD: AFILNET_PASSWORD })

    expect(read).toThrow(
      expect.objectContaining({ warnings: ['AFILNET_PASWORD is not a variable of the gateway; did you mean AFILNET_PASSWORD?'] }),
    )
  })

  test('is not given for variables of the system, of Kubernetes, or of the configuration file', () => {
    const system = {
      HOME: '/root',
      PATH: '/bin',
      HOSTNAME: 'x',
      PWD: '/',
      LANG: 'C',
      GATEWAY_PORT: 'tcp://10.0.0.1:3000',
      GATEWAY_SERVICE_HOST: '10.0.0.1',
      MEDIA_STORE_SERVICE_HOST: '10.0.0.2',
      MEDIA_STORE_PORT: 'tcp://10.0.0.2:9000',
      MEDIA_STORE_PORT_9000_TCP_ADDR: '10.0.0.2',
      STORE: 'x',
    }
    const proxied = { HTTPS_PROXY: 'http://x', AFILNET_PROXY: 'direct' }
    const account = { user: 'x', password: { env: 'AFILNET_PASSWORD_2' }, clientSecret: { env: 'AFILNET_CLIENT_SECRET_2' } }
    const events = { channels: ['*'] }
    const caller = { keySha256: [digest], account: 'a', scopes: [], chats: ['whatsapp/100/*'] }
    const webhook = { url: 'https://crm.example.com', secret: { env: 'WEBHOOK_SECRET_2' }, account: 'a' }
    const own = { accounts: { a: { ...account, events } }, callers: { x: caller }, webhooks: { x: webhook } }
    const secrets = {
      AFILNET_PASSWORD_2: 'fake-canary',
      AFILNET_CLIENT_SECRET_2: 'fake-canary',
      WEBHOOK_SECRET_2: `whsec_${Buffer.from('fake-canary'.padEnd(32, '.')).toString('base64')}`,
    }
    const read = () => readConfig({ GATEWAY_CONFIG: join(folder, 'none'), ...secrets })

    expect(warningsOf(readConfig({ ...valid, ...system, ...proxied }))).toEqual([])
    expect(warningsOf(readConfig({ GATEWAY_CONFIG: file(JSON.stringify(own)), ...secrets }))).toEqual([
      'accounts.a.clientSecret is not used: it is for the transport json, and the transport is post',
    ])
    expect(read).toThrow(expect.objectContaining({ warnings: [] })) // the file would say what it uses
  })

  test.for<Environment>([
    { AFILNET_TIMEOUT: '' },
    { HTTPS_PROXY: 'http://x', AFILNET_PROXY_FILE: file('direct') },
    { PUBLIC_URL: 'http://localhost:3000' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' },
    { KEEP_ALIVE_MS: '5000' },
    { TRUST_PROXY: '10.0.0.0/8,fc00::/7,192.0.2.1', KEEP_ALIVE_MS: '60000' },
    { PORT: '3001', ADMIN_PORT: '3001', ADMIN_HOST: '127.0.0.2' },
  ])('is not given for what may be meant: %j', environment => {
    expect(warningsOf(readConfig({ ...valid, ...environment }))).toEqual([])
  })

  test('names each secret that counts after a restart only and has changed', () => {
    const [before, after] = ['one', 'two'].map(word =>
      readConfig({
        ...valid,
        AFILNET_PROXY: `http://ops:${word}@proxy.internal:3128`,
        STORE_URL: `redis://:${word}@cache.example.com`,
        QUEUE_KEY: Buffer.from(word.padEnd(32)).toString('base64'),
      }),
    )
    const changed = before && after ? warningsOfChange(before, after) : []

    expect(changed.map(warning => warning.split(' ')[0])).toEqual(['AFILNET_PROXY', 'STORE_URL', 'QUEUE_KEY'])
    expect(before && warningsOfChange(before, before)).toEqual([])
  })

  test('is given for a chat pattern that is not in the normal form, and the pattern is normalized', () => {
    const account = { user: 'x', password: { env: 'SECRET' } }
    const caller = { keySha256: [digest], account: 'a', scopes: [], chats: ['whatsapp/100/+34 600-*', 'telegram/7/+34*'] }
    const GATEWAY_CONFIG = file(JSON.stringify({ accounts: { a: account }, callers: { x: caller } }))

    const config = readConfig({ GATEWAY_CONFIG, SECRET: 'fake-canary' })

    expect(config.callers.x?.chats).toEqual(['whatsapp/100/34600*', 'telegram/7/+34*'])
    expect(warningsOf(config)).toEqual([
      'callers.x.chats[0]: WhatsApp numbers are compared by their digits; the pattern is read without their formatting',
    ])
  })

  test('is given for a chat pattern whose platform does not exist', () => {
    const account = { user: 'x', password: { env: 'SECRET' } }
    const caller = { keySha256: [digest], account: 'a', scopes: [], chats: ['sms/1/*', 'WhatsApp/1/*', 'what*/1/*', '*/1/*'] }
    const GATEWAY_CONFIG = file(JSON.stringify({ accounts: { a: account }, callers: { x: caller } }))

    expect(warningsOf(readConfig({ GATEWAY_CONFIG, SECRET: 'fake-canary' }))).toEqual(
      [0, 1].map(i => `callers.x.chats[${i}]: matches no chat; the platforms are webchat, whatsapp, telegram, operator`),
    )
  })

  test('is given for a chat pattern of WhatsApp numbers that begin with 00', () => {
    const account = { user: 'x', password: { env: 'SECRET' } }
    const numbers = ['0034600000000', '+00 34*', '0*', '34600*']
    const chats = [...numbers.map(number => `whatsapp/100/${number}`), 'telegram/7/0034*']
    const GATEWAY_CONFIG = file(
      JSON.stringify({ accounts: { a: account }, callers: { x: { keySha256: [digest], account: 'a', scopes: [], chats } } }),
    )

    const warnings = warningsOf(readConfig({ GATEWAY_CONFIG, SECRET: 'fake-canary' }))

    expect(warnings.filter(warning => warning.includes('begins with 00')).map(warning => warning.split(':')[0])).toEqual([
      'callers.x.chats[0]',
      'callers.x.chats[1]',
    ])
  })
})

describe('The description of a configuration', () => {
  test('uses the names of variables, and accepts an IPv6 address in brackets', () => {
    const described = describeConfig(readConfig({ ...valid, HOST: '[::]' }))

    expect(described.HOST).toBe('::')
    expect(String(described.AFILNET_URL)).toBe('https://www.afilnet.com/api/http/') // it was not set
    expect(Object.keys(described)).toEqual([...Object.keys(Variables.properties), 'files'])
  })

  test.for(['fake-canary', ':fake-canary', 'fake-canary:fake-canary'])('shows neither user nor password of a proxy: %s', credentials => {
    const { AFILNET_PROXY } = describeConfig(readConfig({ ...valid, AFILNET_PROXY: `http://${credentials}@proxy.internal:3128` }))

    expect(AFILNET_PROXY).toBe('http://<set>@proxy.internal:3128')
  })

  test('shows each variable as it was set, and of a secret only that it is', () => {
    const plain = {
      AFILNET_USER: 'ops@example.com',
      AFILNET_TRANSPORT: 'json',
      AFILNET_URL: 'https://api.example.com/chat',
      AFILNET_TOKEN_URL: 'https://id.example.com/token',
      AFILNET_CLIENT_ID: 'gateway',
      AFILNET_SCOPE: 'chat',
      AFILNET_GRANT: 'password',
      AFILNET_JSON_STYLE: 'path',
      AFILNET_TIMEOUT_MS: 2_001,
      AFILNET_LATE_MS: 2_002,
      AFILNET_CONNECTIONS: 2_003,
      AFILNET_MAX_RESPONSE_BYTES: 2_004,
      READ_CACHE_MS: 2_005,
      AFILNET_TIMEZONE: 'Europe/Madrid',
      AFILNET_ROWS: 'destination-open',
      RATE_LIMIT_PER_MINUTE: 2_006,
      HOST: '127.0.0.2',
      PORT: 2_007,
      ADMIN_HOST: '127.0.0.3',
      ADMIN_PORT: 2_008,
      PUBLIC_URL: 'https://chat.example.com/api',
      MCP: true,
      DOCS: false,
      LOG_LEVEL: 'warn',
      KEEP_ALIVE_MS: 72_009,
      ALLOW_DEBUG: true,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example.com/otel',
      OTEL_SERVICE_NAME: 'chat',
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: 0.25,
      SENDS_KEEP_HOURS: 210,
      STORE_MAX_MB: 211,
      READ_BACK: true,
      IDEMPOTENCY_REQUIRED: true,
      MEDIA_URL: 'https://media.example.com/files',
      MEDIA_STORE: `file:${folder}/media`,
      MEDIA_MAX_BYTES: 212,
      MEDIA_KEEP_HOURS: 213,
      MEDIA_MAX_MB: 214,
      EVENTS_INTERVAL_MS: 2_015,
      EVENTS_KEEP_HOURS: 216,
      DRAIN_MS: 22_017,
      DRAIN_DELAY_MS: 2_018,
    }
    const set = {
      AFILNET_PASSWORD: ['fake-canary', '<set>'],
      AFILNET_CLIENT_SECRET: ['fake-canary', '<set>'],
      AFILNET_PROXY: ['http://:fake-canary@proxy.internal:3128', 'http://<set>@proxy.internal:3128'],
      GATEWAY_KEY_SHA256: [digest, ['<set>']],
      TRUST_PROXY: ['10.0.0.0/8, 192.0.2.1', ['10.0.0.0/8', '192.0.2.1']],
      CORS_ORIGINS: ['https://a.example.com,https://b.example.com', ['https://a.example.com', 'https://b.example.com']],
      OTEL_EXPORTER_OTLP_HEADERS: ['authorization=Basic ZmFrZS1jYW5hcnk=', { authorization: '<set>' }],
      STORE_URL: ['redis://:fake-canary@cache.example.com/1', 'redis://<set>@cache.example.com/1'],
      QUEUE_KEY: [queueKey, ['<set>']],
      EVENTS_CHANNELS: ['whatsapp/100,telegram/*', ['whatsapp/100', 'telegram/*']],
      WEBHOOK_URL: ['https://crm.example.com/events?token=fake-canary', 'https://crm.example.com/events'],
      WEBHOOK_SECRET: [`whsec_${queueKey.replace('Bwc', 'Bwd')}`, ['<set>']],
    } satisfies Record<string, [string, unknown]>
    const environment = { ...mapValues(plain, String), ...mapValues(set, ([given]) => given) }

    const described = JSON.parse(JSON.stringify(describeConfig(readConfig(environment))))

    expect(described).toEqual({ ...plain, ...mapValues(set, ([, shown]) => shown), files: [] })
    expect(Object.keys(Variables.properties).filter(name => !(name in described))).toEqual([
      'GATEWAY_CONFIG',
      'AFILNET_WSDL',
      'AFILNET_SENT',
    ])
  })

  test('shows accounts and callers by the names of the file', () => {
    const account = { user: 'x', password: { env: 'SECRET' } }
    const GATEWAY_CONFIG = file(
      JSON.stringify({
        accounts: { default: account },
        callers: { default: { keySha256: [digest], account: 'default', scopes: [] } },
        webhooks: { default: { url: 'https://crm.example.com', secret: { env: 'HOOK' }, account: 'default' } },
      }),
    )

    const described = describeConfig(readConfig({ GATEWAY_CONFIG, SECRET: 'fake-canary', HOOK: `whsec_${queueKey.replace('Bwc', 'Bwd')}` }))

    expect(described).toMatchObject({
      GATEWAY_CONFIG,
      accounts: { default: { user: 'x', password: '<set>' } },
      callers: { default: { keySha256: ['<set>'] } },
      webhooks: { default: { url: 'https://crm.example.com/', secret: ['<set>'] } },
    })
    expect(JSON.stringify(described)).not.toContain('fake-canary')
    for (const name of ['AFILNET_USER', 'GATEWAY_KEY_SHA256', 'WEBHOOK_URL', 'WEBHOOK_SECRET'])
      expect(described[name], name).toBeUndefined()
  })
})
