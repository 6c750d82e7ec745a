import { describe, expect, onTestFinished } from 'vitest'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { fakeClientSecret } from '../../src/sandbox/oauth.ts'
import { fakePassword } from '../../src/sandbox/redaction.ts'
import { escapeXml } from '../../src/sandbox/xml.ts'
import { basic, call, chat, form, formHead, type Params, test } from './client.ts'

const percent = (text: string) => [...Buffer.from(text)].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')

const part = (name: string, value: string) => `--cut-here\r\nContent-Disposition: form-data; ${name}\r\n\r\n${value}\r\n`

const soapEnvelope =
  '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><n:getchatchannels xmlns:n="urn:afilnet-sandbox" xmlns="">'

/** Every way to bring a password to the sandbox that we could think of, careless and broken ones among them. */
const ways = (params: Params, password: string): [path: string, init: RequestInit][] => {
  const rest = form(params)
  const encoded = encodeURIComponent(password)
  const pairs = [
    `password=${encoded}`,
    `p%61ssword=${encoded}`,
    `PASSWORD=${percent(password)}`,
    `password=x&password=${encoded}`,
    `p%2561ssword=${encoded}`,
  ]
  const parts = ['name="password"', 'name=password', 'name="PassWord"', 'name="p%61ssword"', 'filename="x"; name="password"']
  const multipart = { 'content-type': 'multipart/form-data; charset=x; boundary="cut-here"' }
  const soap = { 'content-type': 'text/xml', soapaction: '"urn:afilnet-sandbox#getchatchannels"' }
  const [before, after] = [soapEnvelope, '</n:getchatchannels></Body></Envelope>']
  const elements = [
    `<password>${escapeXml(password)}</password>`,
    `<password><![CDATA[${password}]]></password>`,
    `<password><!-- a comment -->${escapeXml(password)}</password>`,
    `<password><value>${escapeXml(password)}</value></password>`,
    `<item><key>password</key><value>${escapeXml(password)}</value></item>`,
    `<password>${escapeXml(password)}`,
  ]
  return [
    ...pairs.flatMap((pair): [string, RequestInit][] => [
      [`/api/http/?${rest}&${pair}`, {}],
      [`/api/http/?${pair}`, { ...formHead, body: rest }],
      ['/api/http/', { ...formHead, body: `${pair}&${rest}` }],
      [`/api/basic/?${rest}&${pair}`, { headers: { authorization: basic('demo', password) } }],
    ]),
    ...parts.map((name): [string, RequestInit] => [
      '/api/http/',
      { method: 'POST', headers: multipart, body: `${part('name="class"', 'chat')}${part(name, password)}--cut-here--\r\n` },
    ]),
    ...elements.map((element): [string, RequestInit] => ['/api/soap/', { method: 'POST', headers: soap, body: before + element + after }]),
    ['/api/http/', { method: 'POST', headers: multipart, body: `broken password=${password}` }],
    ['/api/http/', { method: 'POST', headers: multipart, body: `${part('name="password"', `x--cut-here${password}`)}--cut-here--\r\n` }],
    [
      '/api/http/',
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: `{"pass\\u0077ord":${JSON.stringify(password)}}` },
    ],
    ['/api/http/', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ password }) }],
    ['/api/http/', { headers: { authorization: `Bearer ${encoded}`, cookie: `a=${encoded}`, referer: `http://x/?password=${encoded}` } }],
    ['/api/json/', { headers: { authorization: basic(password, 'x').replace('Basic', 'Bearer') } }],
    [
      '/api/http/',
      { headers: { authorization: Buffer.from(password).toString('base64'), 'proxy-authorization': basic('demo', password) } },
    ],
  ]
}

/** All that the sandbox says of what it saw, encodings undone. */
const everything = async (sandbox: Sandbox) => {
  const said = await Promise.all(['/calls', '/sent', '/'].map(async path => (await fetch(sandbox.controlUrl + path)).text()))
  const bodies = sandbox.calls.map(({ bodyBase64 }) => Buffer.from(bodyBase64, 'base64').toString())
  const tokens = sandbox.calls.map(({ headers }) => Buffer.from(headers.authorization?.split(' ')[1] ?? '', 'base64').toString())
  const text = [...said, JSON.stringify(sandbox.calls), ...bodies, ...tokens].join('\n')
  const unescaped = text.replaceAll('\\"', '"').replaceAll('\\\\', '\\')
  const decoded = unescaped.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return [text, unescaped, decoded, Buffer.from(decoded, 'latin1').toString()].join('\n')
}

const start = async (password: string) => {
  const sandbox = await startSandbox({ password })
  onTestFinished(() => sandbox.close())
  return sandbox
}

describe('a password', () => {
  const passwords = ['canary', 'cänary "&=+%\\', '.*[canary]']

  test.for(passwords)('%j is nowhere in what is recorded, right or wrong', async right => {
    const sandbox = await start(right)
    const wrong = 'other-bird'
    const { password: _, ...params } = call(sandbox, 'getmessages', chat)
    const all = [...ways(params, right), ...ways(params, wrong)]
    for (const [path, init] of all) await (await fetch(sandbox.url + path, init)).text()
    const text = await everything(sandbox)

    expect(sandbox.calls).toHaveLength(all.length)
    expect(sandbox.calls.filter(({ answer }) => answer?.body.includes('SUCCESS')).length).toBeGreaterThan(0)
    expect(text).toContain('<redacted>')
    expect(text).not.toContain(right)
    expect(text).not.toContain(wrong)
  })

  test('is masked even where it has no business', async () => {
    const sandbox = await start('cänary "x"')
    const leak = `before ${sandbox.password} after`
    const send = call(sandbox, 'sendmessage', { ...chat, message: leak })
    for (const params of [send, call(sandbox, 'getmessages', chat), { [leak]: leak }]) {
      await fetch(`${sandbox.url}/api/http/`, {
        ...formHead,
        headers: { ...formHead.headers, 'x-note': percent(leak) },
        body: form(params),
      })
    }
    await fetch(`${sandbox.url}/api/http/?${form({ [leak]: leak })}`)
    await fetch(`${sandbox.controlUrl}/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...chat, message: leak }),
    })

    expect(sandbox.sent).toMatchObject([{ message: leak }]) // what was taken is what was sent
    expect(sandbox.calls[1]?.answer?.body).toContain('before <redacted> after')
    expect(await everything(sandbox)).not.toContain('nary')
    const messages = await (await fetch(`${sandbox.controlUrl}/messages`)).json()
    expect(messages).toContainEqual(expect.objectContaining({ message: 'before <redacted> after' }))
  })

  test('that is the fake one stays, byte for byte', async ({ sandbox }) => {
    const body = form(call(sandbox, 'getchatchannels'))
    const authorization = basic(sandbox.user, sandbox.password)
    await fetch(`${sandbox.url}/api/http/?${body}`)
    await fetch(`${sandbox.url}/api/http/`, { ...formHead, body })
    await fetch(`${sandbox.url}/api/basic/?class=chat&method=getchatchannels`, { headers: { authorization } })
    await fetch(`${sandbox.url}/api/http/`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=cut-here' },
      body: `${part('name="password"', sandbox.password)}--cut-here--\r\n`,
    })

    const { password } = sandbox
    expect(sandbox.calls).toMatchObject([{ query: body }, { body }, { headers: { authorization } }, { params: [['password', password]] }])
    expect(sandbox.calls[3]?.body).toContain(password)
    expect(JSON.stringify(sandbox.calls)).not.toContain('<redacted>')
  })

  test('is distinguished from a text that mentions one', async ({ sandbox }) => {
    const message = 'my password=x&password=y'
    await fetch(`${sandbox.url}/api/http/`, { ...formHead, body: form(call(sandbox, 'sendmessage', { ...chat, message })) })

    expect(sandbox.calls[0]?.params).toContainEqual(['message', message])
    expect(sandbox.calls[0]?.body).toContain(encodeURIComponent('password=y'))
  })
})

test('The token endpoint refuses a wrong client, and a wrong password, and keeps no credential', async ({ sandbox }) => {
  const { clientId, user } = sandbox
  const right = { grant_type: 'password', client_id: clientId, client_secret: fakeClientSecret, username: user, password: fakePassword }
  const ask = async (wrong: Partial<typeof right>) => {
    const answer = await fetch(`${sandbox.url}/oauth/token`, { method: 'POST', body: new URLSearchParams({ ...right, ...wrong }) })
    const { error = 'none' } = (await answer.json()) as { error?: string } // of RFC 6749
    return error
  }
  const real = 'real-canary'

  const errors = [await ask({}), await ask({ client_id: real }), await ask({ client_secret: real }), await ask({ password: real })]

  expect(errors).toEqual(['none', 'invalid_client', 'invalid_client', 'invalid_grant'])
  expect(sandbox.oauth.requests).toHaveLength(4)
  expect(JSON.stringify(sandbox.oauth.requests)).not.toContain(real)
})
