import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { describeConfig, warningsOf } from '../../src/config/describe.ts'
import type { Environment } from '../../src/config/variables.ts'
import { file, issueLines } from './setup.ts'

const secret = 'fake-canary-secret'
const base = { GATEWAY_KEY_SHA256: 'b7e23ec29af22b0b4e41da31e868d57226121c84c1b2d3a4f5e6a7b8c9d0e1f2' }
const json = {
  ...base,
  AFILNET_TRANSPORT: 'json',
  AFILNET_URL: 'https://api.example.com/json/',
  AFILNET_TOKEN_URL: 'https://auth.example.com/token',
  AFILNET_CLIENT_ID: 'ours',
  AFILNET_CLIENT_SECRET: secret,
}
const soap = {
  ...base,
  AFILNET_TRANSPORT: 'soap',
  AFILNET_USER: 'ops@example.com',
  AFILNET_PASSWORD: secret,
  AFILNET_WSDL: 'https://www.example.com/soap/?wsdl',
}

describe('The transport json', () => {
  test('needs no user, but for the grant password', () => {
    expect(issueLines(json)).toEqual([])
    expect(issueLines({ ...json, AFILNET_GRANT: 'password' }).map(issue => issue.split(':')[0])).toEqual([
      'AFILNET_USER',
      'AFILNET_PASSWORD',
    ])
    expect(issueLines({ ...json, AFILNET_GRANT: 'password', AFILNET_USER: 'u', AFILNET_PASSWORD: secret })).toEqual([])
  })

  test.for<[Environment, string]>([
    [
      { AFILNET_URL: '' },
      'AFILNET_URL: is required with the transport json: the https URL of the JSON endpoint, which the manual does not tell',
    ],
    [{ AFILNET_TOKEN_URL: '' }, 'AFILNET_TOKEN_URL: is required with the transport json: the https URL of the OAuth 2.0 token endpoint'],
    [{ AFILNET_CLIENT_ID: '' }, 'AFILNET_CLIENT_ID: is required with the transport json: the OAuth 2.0 client id'],
    [{ AFILNET_CLIENT_SECRET: '' }, 'AFILNET_CLIENT_SECRET: is required with the transport json: the OAuth 2.0 client secret'],
    [
      { AFILNET_TOKEN_URL: 'http://auth.example.com/' },
      'AFILNET_TOKEN_URL: is plain http; write https (http is for a loopback host or one named sandbox)',
    ],
    [{ AFILNET_CLIENT_SECRET: 'my-client-secret' }, 'AFILNET_CLIENT_SECRET: is the value of an example, not a real password'],
    [
      { AFILNET_CLIENT_SECRET: 'fake-sandbox-client-secret' },
      'AFILNET_CLIENT_SECRET: is the client secret of the sandbox, which is for a loopback host or one named sandbox',
    ],
    [
      {
        AFILNET_URL: 'http://127.0.0.1/json/',
        AFILNET_GRANT: 'password',
        AFILNET_USER: 'demo@sandbox.invalid',
        AFILNET_PASSWORD: 'fake-sandbox-password',
      },
      'AFILNET_PASSWORD: is the password of the sandbox, which is for a loopback host or one named sandbox',
    ],
    [{ AFILNET_GRANT: 'implicit' }, 'AFILNET_GRANT: "implicit" is not one of client_credentials, password'],
    [{ AFILNET_JSON_STYLE: 'Path' }, 'AFILNET_JSON_STYLE: "Path" is not one of body, path; write path'],
    [{ AFILNET_SCOPE: 'a  b' }, 'AFILNET_SCOPE: "a  b" is not a list of OAuth 2.0 scopes separated by single blanks'],
  ])('with %j says what to write', ([environment, message]) => {
    expect(issueLines({ ...json, ...environment })).toEqual([message])
  })

  test('has its secret in a file, and shows it nowhere', () => {
    const path = file(`${secret}\n`)
    const config = readConfig({ ...json, AFILNET_CLIENT_SECRET: '', AFILNET_CLIENT_SECRET_FILE: path, AFILNET_SCOPE: 'chat' })

    expect(config.accounts.default).toMatchObject({
      user: 'ours',
      password: '',
      clientSecret: secret,
      scope: 'chat',
      grant: 'client_credentials',
      jsonStyle: 'body',
    })
    const shown = JSON.stringify([describeConfig(config), warningsOf(config)])
    expect(shown).not.toContain(secret)
    expect(warningsOf(readConfig({ ...json, AFILNET_CLIENT_SECRET: `${secret} ` }))).toContain(
      'account default: the client secret has blanks or line breaks that are probably not part of it',
    )
    expect(describeConfig(config)).toMatchObject({
      AFILNET_PASSWORD: undefined,
      AFILNET_CLIENT_ID: 'ours',
      AFILNET_CLIENT_SECRET: '<set>',
      AFILNET_GRANT: 'client_credentials',
    })
  })

  test('has its secret in a reference of GATEWAY_CONFIG', () => {
    const urls = { url: json.AFILNET_URL, tokenUrl: json.AFILNET_TOKEN_URL }
    const main = { transport: 'json', ...urls, clientId: 'ours', clientSecret: { env: 'MAIN_SECRET' }, jsonStyle: 'path' }
    const callers = { crm: { keySha256: [base.GATEWAY_KEY_SHA256], account: 'main', scopes: [] } }
    const GATEWAY_CONFIG = file(JSON.stringify({ accounts: { main }, callers }))
    const config = readConfig({ GATEWAY_CONFIG, MAIN_SECRET: secret })

    expect(config.accounts.main).toMatchObject({ clientSecret: secret, jsonStyle: 'path', user: 'ours' })
    expect(JSON.stringify(describeConfig(config))).not.toContain(secret)
    expect(issueLines({ GATEWAY_CONFIG })).toEqual(['accounts.main.clientSecret: the environment variable MAIN_SECRET is not set'])
  })
})

describe('The transport soap', () => {
  test('calls the address in its WSDL, unless another one is configured', () => {
    const urlOf = (environment: Environment) => readConfig({ ...soap, ...environment }).accounts.default?.url.href

    expect(urlOf({})).toBe(soap.AFILNET_WSDL)
    expect(urlOf({ AFILNET_URL: 'https://other.example/soap/' })).toBe('https://other.example/soap/')
  })

  test.for<[Environment, string]>([
    [{ AFILNET_WSDL: '' }, 'AFILNET_WSDL: is required with the transport soap: the https URL or the file of the WSDL'],
    [
      { AFILNET_WSDL: 'http://example.com/?wsdl' },
      'AFILNET_WSDL: is plain http; write https (http is for a loopback host or one named sandbox)',
    ],
    [{ AFILNET_WSDL: 'https://u:p@example.com/?wsdl' }, 'AFILNET_WSDL: contains credentials; remove them'],
    [{ AFILNET_WSDL: 'ftp://example.com/a.wsdl' }, 'AFILNET_WSDL: "ftp:" is not the protocol http or https'],
    [{ AFILNET_WSDL: './no-such.wsdl' }, 'AFILNET_WSDL: the file does not exist'],
    [{ AFILNET_PASSWORD: '' }, 'AFILNET_PASSWORD: is not set; write the password of the Afilnet account'],
  ])('with %j says what to write', ([environment, message]) => {
    expect(issueLines({ ...soap, ...environment })).toEqual([message])
  })

  test('follows the content of its file, and shows no query', () => {
    const path = file('<definitions/>')
    const before = readConfig({ ...soap, AFILNET_WSDL: path })
    writeFileSync(path, '<definitions></definitions>')
    const after = readConfig({ ...soap, AFILNET_WSDL: path })

    expect(before.files[path]).not.toBe(after.files[path])
    expect(JSON.stringify(before.accounts)).not.toBe(JSON.stringify(after.accounts))
    const shown = JSON.stringify(describeConfig(readConfig({ ...soap, AFILNET_WSDL: `https://example.com/s?key=${secret}` })))
    expect(shown).toContain('https://example.com/s?<set>')
    expect(shown).not.toContain(secret)
  })
})

describe('A variable of another transport', () => {
  test('is reported as not used, and ignored', () => {
    const config = readConfig({ ...soap, AFILNET_TRANSPORT: '', AFILNET_TOKEN_URL: json.AFILNET_TOKEN_URL })

    expect(config.accounts.default?.url.href).toBe('https://www.afilnet.com/api/http/')
    expect(warningsOf(config)).toContain('AFILNET_TOKEN_URL is not used: it is for the transport json, and the transport is post')
    for (const [name, own] of Object.entries({ json, soap }))
      expect(warningsOf(readConfig(own)).join()).toContain(`the transport ${name} was never tested against the real Afilnet`)
  })
})
