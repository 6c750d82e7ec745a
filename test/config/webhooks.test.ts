import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { describeConfig, warningsOf } from '../../src/config/describe.ts'
import type { Environment } from '../../src/config/variables.ts'
import { file, issuesOf } from './setup.ts'

const secretOf = (text: string) => `whsec_${Buffer.from(text.padEnd(32, '.')).toString('base64')}`
const secret = secretOf('fake-secret-one')
const other = secretOf('fake-secret-two')
const ofBytes = (length: number) => `whsec_${Buffer.from('fake'.padEnd(length, '.')).toString('base64')}`
const eventless = { AFILNET_USER: 'ops@example.com', AFILNET_PASSWORD: 'pa$$ word', GATEWAY_KEY_SHA256: 'ab'.repeat(32) }
const single = { ...eventless, EVENTS_CHANNELS: '*' }
const fileWith = (webhooks: unknown): Environment => ({
  PASSWORD: 'pa$$ word',
  HOOK: secret,
  GATEWAY_CONFIG: file(
    JSON.stringify({
      accounts: {
        main: { user: 'ops@example.com', password: { env: 'PASSWORD' }, events: { channels: ['*'] } },
        quiet: { user: 'ops@example.com', password: { env: 'PASSWORD' } },
      },
      callers: { crm: { keySha256: ['ab'.repeat(32)], account: 'main', scopes: [] } },
      webhooks,
    }),
  ),
})
const crm = { url: 'https://crm.example.com/events?token=fake', secret: { env: 'HOOK' }, account: 'main' }

describe('Webhooks', () => {
  test('are none unless configured', () => {
    expect(readConfig(single).webhooks).toEqual({})
  })

  test('come from the environment, one of them, with one secret or two', () => {
    const environment = {
      ...single,
      WEBHOOK_URL: 'http://127.0.0.1:9/x?fake',
      WEBHOOK_SECRET_FILE: file(`${secret},${other}\n`),
    }

    expect(readConfig(environment).webhooks).toEqual({
      default: { url: new URL('http://127.0.0.1:9/x?fake'), secrets: [secret, other], account: 'default' },
    })
    expect(describeConfig(readConfig(environment))).toMatchObject({
      WEBHOOK_URL: 'http://127.0.0.1:9/x',
      WEBHOOK_SECRET: ['<set>', '<set>'],
    })
  })

  test('come from the file, with the secret elsewhere and patterns normalized', () => {
    const both = [{ file: file(`${secret}\n`) }, { env: 'HOOK2' }]
    const rows = {
      crm: { ...crm, $comment: 'ours', types: ['message.created'], chats: ['whatsapp/100/+34 600*'] },
      erp: { ...crm, secret: both },
    }
    const config = readConfig({ ...fileWith(rows), HOOK2: other })

    expect(config.webhooks).toEqual({
      crm: { url: new URL(crm.url), secrets: [secret], account: 'main', types: ['message.created'], chats: ['whatsapp/100/34600*'] },
      erp: { url: new URL(crm.url), secrets: [secret, other], account: 'main' },
    })
    expect(warningsOf(config)).toEqual([expect.stringMatching(/^webhooks\.crm\.chats\[0\]: WhatsApp numbers/)])
    expect(JSON.stringify(describeConfig(config))).not.toMatch(/whsec_|token=/)
    expect(describeConfig(config).webhooks).toMatchObject({ crm: { url: 'https://crm.example.com/events', secret: ['<set>'] } })
  })

  test.for([
    [{ WEBHOOK_URL: 'https://crm.example.com' }, { WEBHOOK_SECRET: /not set, but WEBHOOK_URL is/ }],
    [{ WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /not set, but WEBHOOK_SECRET is/ }],
    [{ WEBHOOK_URL: 'http://crm.example.com', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /plain http; write https/ }],
    [{ WEBHOOK_URL: 'http://sandbox/x', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /plain http/ }],
    [{ WEBHOOK_URL: 'crm.example.com', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /not an absolute URL/ }],
    [{ WEBHOOK_URL: 'ftp://crm.example.com', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /not the protocol https/ }],
    [{ WEBHOOK_URL: 'https://a:b@crm.example.com', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /credentials/ }],
    [{ WEBHOOK_URL: 'https://:canary@crm.example.com', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /credentials/ }],
    [{ WEBHOOK_URL: 'https://crm.example.com/#x', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /fragment/ }],
    [{ WEBHOOK_URL: ' https://crm.example.com', WEBHOOK_SECRET: secret }, { WEBHOOK_URL: /blanks/ }],
    [{ WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: 'canary-secret' }, { WEBHOOK_SECRET: /the value is not whsec_/ }],
    [{ WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: 'whsec_canary!' }, { WEBHOOK_SECRET: /whsec_ followed by base64/ }],
    [{ WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: 'whsec_Y2FuYXJ5' }, { WEBHOOK_SECRET: /has 6 bytes.*24 to 64/ }],
    [{ WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: ofBytes(23) }, { WEBHOOK_SECRET: /has 23 bytes.*24 to 64/ }],
    [{ WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: ofBytes(65) }, { WEBHOOK_SECRET: /has 65 bytes.*24 to 64/ }],
    [
      { WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: `whsec_${'A'.repeat(33)}` },
      { WEBHOOK_SECRET: /whsec_ followed by base64/ },
    ],
    [{ WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: `whsec_${'A'.repeat(43)}=` }, { WEBHOOK_SECRET: /value of an example/ }],
    [
      { WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: `${secret},${secret}` },
      { WEBHOOK_SECRET: /contains the same secret twice/ },
    ],
  ] as [Environment, Record<string, RegExp>][])('of the environment are refused: %j', ([more, expected]) => {
    const issues = issuesOf({ ...single, ...more })

    expect(Object.keys(issues)).toEqual(Object.keys(expected))
    for (const [path, message] of Object.entries(expected)) expect(issues[path]).toMatch(message)
    expect(JSON.stringify(issues)).not.toMatch(/canary|Y2FuYXJ5/)
  })

  test.for([
    [{ crm: { ...crm, url: 'http://crm.example.com' } }, 'webhooks.crm.url', /plain http/],
    [{ crm: { ...crm, secret: 'whsec_canary' } }, 'webhooks.crm.secret', /never write the secret itself/],
    [{ crm: { ...crm, secret: [{ env: 'HOOK' }] } }, 'webhooks.crm.secret', /list of two/],
    [{ crm: { ...crm, secret: [{ env: 'HOOK' }, { env: 'HOOK' }, { env: 'HOOK' }] } }, 'webhooks.crm.secret', /list of two/],
    [{ crm: { ...crm, secret: { env: 'NOPE' } } }, 'webhooks.crm.secret', /the environment variable NOPE is not set/],
    [{ crm: { ...crm, secret: { file: file('whsec_$' + '{HOOK}') } } }, 'webhooks.crm.secret', /placeholder of a template/],
    [{ crm: { ...crm, account: 'mian' } }, 'webhooks.crm.account', /there is no account "mian" \(accounts: main, quiet\)/],
    [{ crm: { ...crm, chats: [] } }, 'webhooks.crm.chats', /not a list of chat patterns/],
    [{ crm: { ...crm, types: ['message.sent'] } }, 'webhooks.crm.types[0]', /not one of message.created/],
    [{ crm: { ...crm, chats: ['x'] } }, 'webhooks.crm.chats[0]', /three segments/],
    [{ crm: { ...crm, secrets: [] } }, 'webhooks.crm.secrets', /did you mean secret/],
    [{ 'C R M': crm }, 'webhooks["C R M"]', /name of the form/],
  ] as [unknown, string, RegExp][])('of the file are refused: %j', ([webhooks, path, message]) => {
    const issues = issuesOf(fileWith(webhooks))

    expect(issues[path]).toMatch(message)
    expect(JSON.stringify(issues)).not.toContain('canary')
  })

  test('have secrets of 24 to 64 bytes', () => {
    const WEBHOOK_SECRET = [24, 64].map(ofBytes).join()

    expect(readConfig({ ...single, WEBHOOK_URL: crm.url, WEBHOOK_SECRET }).webhooks.default?.secrets).toHaveLength(2)
  })

  test('are none where the account watches no channels, but a warning', () => {
    const alone = readConfig({ ...eventless, WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: secret })
    const watched = readConfig({ ...single, WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: secret })
    const filed = readConfig(fileWith({ crm, other: { ...crm, account: 'quiet' } }))

    expect(warningsOf(alone)).toEqual(['webhook default: account default watches no channels, so the webhook gets no events'])
    expect(warningsOf(watched)).toEqual([])
    expect(warningsOf(filed)).toEqual(['webhook other: account quiet watches no channels, so the webhook gets no events'])
  })
  test('of the environment do not stand beside a file', () => {
    expect(Object.keys(issuesOf({ ...fileWith({}), WEBHOOK_URL: 'https://crm.example.com', WEBHOOK_SECRET: secret }))).toEqual([
      'WEBHOOK_URL',
      'WEBHOOK_SECRET',
    ])
  })
})
