import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished } from 'vitest'
import { operations } from '../../src/afilnet/operations.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, environment, sharedTestWith, transportEnvironment } from '../gateway.ts'
import { calls } from './calls.ts'
import { listen } from './listeners.ts'

const test = sharedTestWith(sandbox => transportEnvironment(sandbox, 'soap'))

type Description = {
  names?: (method: string) => string
  parts?: readonly string[]
  address?: string
  types?: string
  style?: 'rpc' | 'document'
}

const soapOf = 'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t"'
const partsOf = (method: string, parts: readonly string[]) => {
  const { required, optional } = operations.find(operation => operation.method === method) ?? { required: [], optional: [] }
  return [...parts, ...required, ...optional]
}

/** A WSDL that describes Afilnet in one of the usual ways. */
function describeAfilnet({
  names = name => name,
  parts = ['user', 'password'],
  address = 'http://127.0.0.1:9/',
  types = '',
  style = 'rpc',
}: Description) {
  const methods = operations.map(({ method }) => method)
  const element = (method: string) =>
    `<xsd:element name="${names(method)}"><xsd:complexType><xsd:sequence>${partsOf(method, parts)
      .map(part => `<xsd:element name="${part}" type="xsd:string" minOccurs="0"/>`)
      .join('')}</xsd:sequence></xsd:complexType></xsd:element>`
  const schema =
    style === 'document'
      ? `<types><xsd:schema targetNamespace="urn:t" elementFormDefault="qualified">${methods.map(element).join('')}</xsd:schema></types>`
      : ''
  const message = (method: string) =>
    style === 'document'
      ? `<part name="parameters" element="t:${names(method)}"/>`
      : partsOf(method, parts)
          .map(part => `<part name="${part}" type="xsd:string"/>`)
          .join('')
  const body = style === 'document' ? '<soap:body use="literal"/>' : '<soap:body use="literal" namespace="urn:t"/>'
  return `<?xml version="1.0"?><definitions xmlns="http://schemas.xmlsoap.org/wsdl/" targetNamespace="urn:t" ${soapOf}>${types}${schema}
    ${methods.map(method => `<message name="${method}In">${message(method)}</message><message name="${method}Out"/>`).join('')}
    <portType name="P">${methods.map(method => `<operation name="${names(method)}"><input message="t:${method}In"/><output message="t:${method}Out"/></operation>`).join('')}</portType>
    <binding name="B" type="t:P"><soap:binding style="${style}" transport="http://schemas.xmlsoap.org/soap/http"/>
    ${methods.map(method => `<operation name="${names(method)}"><soap:operation soapAction="do-${method}"/><input>${body}</input><output>${body}</output></operation>`).join('')}</binding>
    <service name="S"><port name="P" binding="t:B"><soap:address location="${address}"/></port></service></definitions>`
}

const success =
  '<E:Envelope xmlns:E="http://schemas.xmlsoap.org/soap/envelope/"><E:Body><r><return>{"status":"SUCCESS"}</return></r></E:Body></E:Envelope>'

/** A server with documents by their paths, which takes every SOAP message and records it. */
async function serve(documents: (origin: string) => Record<string, string>) {
  const seen: { url: string; headers: Record<string, unknown>; body: string }[] = []
  const asked: string[] = []
  const userAgents = new Set<string | undefined>()
  const port = await listen(
    createServer(async (request, response) => {
      const { url = '', headers, method } = request
      const body = await text(request)
      userAgents.add(headers['user-agent'])
      if (method === 'POST') {
        seen.push({ url, headers, body })
        response.setHeader('content-type', 'text/xml').end(success)
        return
      }
      asked.push(url)
      const document = documents(origin)[url]
      if (document?.startsWith('HTTP ')) response.writeHead(Number(document.slice(5)), { location: '/other' }).end()
      else response.writeHead(document === undefined ? 404 : 200).end(document)
    }),
  )
  const origin = `http://127.0.0.1:${port}`
  return { origin, seen, asked, userAgents }
}

function folder() {
  const path = mkdtempSync(join(tmpdir(), 'gateway-wsdl-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

const soap = (sandbox: Sandbox, wsdl: string) => ({ env: { ...transportEnvironment(sandbox, 'soap'), AFILNET_WSDL: wsdl } })

describe('A WSDL', () => {
  test.for<[string, Description]>([
    ['names with chat.', { names: name => `chat.${name}` }],
    ['names with chat_', { names: name => `Chat_${name.toUpperCase()}` }],
    ['class and method among the parameters', { parts: ['class', 'method', 'user', 'password'] }],
    ['document style', { style: 'document', names: name => name.replace('get', 'Get').replace('send', 'Send') }],
  ])('with %s is understood', async ([, description], { start, sandbox }) => {
    const { origin, seen, userAgents } = await serve(origin => ({
      '/afilnet?wsdl': describeAfilnet({ ...description, address: `${origin}/soap.php?v=2` }),
    }))
    const gateway = await start(soap(sandbox, `${origin}/afilnet?wsdl`))

    for (const call of Object.values(calls)) expect((await call(gateway)).status).toBeLessThan(300)

    expect([...userAgents]).toEqual([expect.stringMatching(/^afilnet-gateway\/\d/)])
    const { names = name => name, parts = ['user', 'password'] } = description
    expect(seen.map(({ url, headers }) => [url, headers.soapaction])).toEqual(
      Object.keys(calls).map(method => ['/soap.php?v=2', `"do-${method}"`]),
    )
    const message = seen.find(({ headers }) => headers.soapaction === '"do-sendmessage"')?.body ?? ''
    const sent = [...message.matchAll(/<(?:\w+:)?(\w+)>([^<]*)<\//g)].map(([, name, value]) => [name, value])
    const credentials = { user: sandbox.user, password: canaries.password.replace('&', '&amp;'), class: 'chat', method: 'sendmessage' }
    expect(sent).toEqual([
      ...parts.map(part => [part, credentials[part as keyof typeof credentials]]),
      ...Object.entries({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Hello' }),
    ])
    expect(message).toContain(`${names('sendmessage')}`)
  })

  test('without parameters for user and password is used with HTTP Basic', async ({ start, sandbox }) => {
    const { origin, seen } = await serve(origin => ({ '/w': describeAfilnet({ parts: [], address: origin }) }))
    const gateway = await start(soap(sandbox, `${origin}/w`))

    expect((await calls.getchatchannels(gateway)).status).toBe(200)
    expect(seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from(`${sandbox.user}:${canaries.password}`).toString('base64')}`)
    expect(seen[0]?.body).not.toContain('canary')
  })

  test('can be a file that imports one beside it, and AFILNET_URL says where calls go', async ({ start, sandbox }) => {
    const dir = folder()
    mkdirSync(join(dir, 'types'))
    writeFileSync(join(dir, 'types/a.xsd'), '<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:u"/>')
    const types =
      '<types><xsd:schema targetNamespace="urn:v"><xsd:import namespace="urn:u" schemaLocation="types/a.xsd"/></xsd:schema></types>'
    writeFileSync(join(dir, 'a.wsdl'), describeAfilnet({ types, address: 'http://afilnet.example/' }))
    const { origin, seen } = await serve(() => ({}))
    const gateway = await start({ env: { ...soap(sandbox, join(dir, 'a.wsdl')).env, AFILNET_URL: `${origin}/here` } })

    expect((await calls.getchatchannels(gateway)).status).toBe(200)
    expect(seen).toMatchObject([{ url: '/here' }])
  })

  const importing = (location: string) =>
    describeAfilnet({
      types: `<types><xsd:schema targetNamespace="urn:v"><xsd:import namespace="urn:u" schemaLocation="${location}"/></xsd:schema></types>`,
    })
  const bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'

  test.for<[string, (origin: string) => Record<string, string>, RegExp]>([
    [
      'no operation for a method',
      () => ({ '/w': describeAfilnet({ names: name => (name === 'sendfile' ? 'sendphoto' : name) }) }),
      /no operation for sendfile .* it offers getchatchannels\(user, password\), sendmessage\(.*sendphoto\(user, password, platform/,
    ],
    [
      'no parameter',
      () => ({ '/w': describeAfilnet({}).replace(/<part name="fileurl"[^>]*>/, '') }),
      /the operation sendfile of the WSDL has no parameter fileurl; it offers sendfile\(user/,
    ],
    ['no operation at all', () => ({ '/w': '<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>' }), /it offers no operation/],
    [
      'credentials in some operations only',
      () => ({ '/w': describeAfilnet({}).replace('<part name="password" type="xsd:string"/>', '') }),
      /some operations of the WSDL have the parameters user and password/,
    ],
    [
      'an address with credentials',
      () => ({ '/w': describeAfilnet({ address: 'https://user:fake-secret@afilnet.example/' }) }),
      /URL without credentials/,
    ],
    ['an address in plain http', () => ({ '/w': describeAfilnet({ address: 'http://afilnet.example/' }) }), /plain http/],
    ['no address', () => ({ '/w': describeAfilnet({ address: '' }) }), /not a http or https URL/],
    [
      'entities',
      () => ({ '/w': `<?xml version="1.0"?><!-- <definitions> -->${bomb}${describeAfilnet({}).slice(21)}` }),
      /document type declaration/,
    ],
    ['too many bytes', () => ({ '/w': describeAfilnet({}) + ' '.repeat(5_000_000) }), /more than 4194304 bytes/],
    ['a page in its place', () => ({ '/w': '<!DOCTYPE html><html></html>' }), /document type declaration/],
    ['another document in its place', () => ({ '/w': '<rss version="2.0"/>' }), /not a valid WSDL/],
    ['JSON in its place', () => ({ '/w': '{}' }), /not XML/],
    ['half of it', () => ({ '/w': describeAfilnet({}).slice(0, 2_000) }), /not a valid WSDL|no operation/],
    ['HTTP 404', () => ({}), /HTTP 404/],
    ['a redirect', () => ({ '/w': 'HTTP 302' }), /HTTP 302/],
    ['HTTP 500', () => ({ '/w': 'HTTP 500' }), /HTTP 500/],
    ['an import from another host', () => ({ '/w': importing('http://localhost:9/a.xsd') }), /another host/],
    ['an import of entities', () => ({ '/w': importing('a.xsd'), '/a.xsd': `${bomb}<xsd:schema/>` }), /document type declaration/],
    [
      'imports without an end',
      () => ({ '/w': importing('/1'), ...Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`/${i}`, importing(`/${i + 1}`)])) }),
      /more than 32 documents/,
    ],
    ['the name of a prototype', () => ({ '/w': describeAfilnet({}).replace('name="S"', 'name="__proto__"') }), /__proto__/],
  ])('with %s refuses to start', async ([, documents, message], { start, sandbox }) => {
    const { origin, asked } = await serve(documents)

    await expect(start(soap(sandbox, `${origin}/w`))).rejects.toThrow(message)
    expect(asked).not.toContain('/other')
  })

  test('that nobody serves refuses to start', async ({ start, sandbox }) => {
    await expect(start({ ...soap(sandbox, 'http://127.0.0.1:9/w'), alone: true })).rejects.toThrow(
      'account default: the WSDL cannot be fetched',
    )
  })

  test('in a file does not reach outside of its directory', async ({ start, sandbox }) => {
    const path = join(folder(), 'a.wsdl')
    for (const [location, message] of [
      ['../../../etc/passwd', /outside of its directory|cannot be read/],
      ['http://127.0.0.1:9/a.xsd', /another host/],
      ['/etc/passwd', /outside of its directory/],
    ] as const) {
      writeFileSync(path, importing(location))
      await expect(start(soap(sandbox, path))).rejects.toThrow(message)
    }
  })
})

describe('A SOAP call', () => {
  test('keeps what looks like XML a text', async ({ gateway, sandbox }) => {
    const message = '<![CDATA[x]]></message><destination>34600000001</destination><message><![CDATA[y]]>'

    expect((await gateway.post('/chats/whatsapp/100/34600000000/messages', { message })).status).toBe(201)
    expect(sandbox.sent).toMatchObject([{ destination: '34600000000', message }])
  })

  test('refuses what XML cannot carry, before a row exists', async ({ gateway, sandbox }) => {
    const reply = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'a\u0000b' }, { 'idempotency-key': 'one' })

    expect(reply.json).toMatchObject({
      status: 400,
      code: 'invalid-request',
      outcome: 'not_applied',
      detail: expect.stringContaining('control character'),
    })
    expect(sandbox.calls).toEqual([])
    expect((await gateway.get('/sends?idempotencyKey=one')).json.items).toEqual([])
  })

  test.for(['structure', 'map', 'json'] as const)('reads a %s', async (form, { gateway, start, sandbox }) => {
    const plain = await start()
    sandbox.shape({ soap: form })

    for (const read of [calls.getchatchannels, calls.getchats, calls.getmessages])
      expect((await read(gateway)).json).toEqual((await read(plain)).json)
  })

  test('reads the errors of faults', async ({ gateway, sandbox }) => {
    sandbox.shape({ soapErrors: 'fault' })

    const reply = await gateway.get('/chats/whatsapp/100/CHAT_NOT_FOUND/messages')

    expect(reply.json).toMatchObject({ status: 404, code: 'chat-not-found', upstreamCode: 'CHAT_NOT_FOUND' })
    expect(sandbox.calls).toHaveLength(1)
  })
})

describe('A reload', () => {
  const config = (sandbox: Sandbox, env: object) =>
    readConfig({ ...environment(sandbox), ...transportEnvironment(sandbox, 'soap'), ...env })

  test('to a WSDL that cannot be used changes nothing', async ({ start, sandbox }) => {
    const gateway = await start()

    await expect(gateway.reload(config(sandbox, { AFILNET_WSDL: `${sandbox.url}/api/nothing` }))).rejects.toThrow('HTTP 404')

    expect((await calls.getchatchannels(gateway)).status).toBe(200)
    expect(sandbox.calls).toMatchObject([{ transport: 'form' }])
  })

  test('to a password that XML cannot carry changes nothing', async ({ start, sandbox }) => {
    const gateway = await start()
    await gateway.reload(config(sandbox, {}))

    await expect(gateway.reload(config(sandbox, { AFILNET_PASSWORD: 'fake-\u0001-password' }))).rejects.toThrow('XML cannot carry')

    expect((await calls.getchatchannels(gateway)).status).toBe(200)
    expect(sandbox.calls).toMatchObject([{ transport: 'soap' }])
  })

  test('reads a WSDL again whose file has changed', async ({ start, sandbox }) => {
    const { origin, seen } = await serve(() => ({}))
    const path = join(folder(), 'a.wsdl')
    const write = (name: string) => writeFileSync(path, describeAfilnet({ address: `${origin}/${name}` }))
    write('one')
    const gateway = await start(soap(sandbox, path))
    await calls.getchatchannels(gateway)

    write('two')
    await gateway.reload(config(sandbox, { AFILNET_WSDL: path }))
    await calls.getchatchannels(gateway)

    expect(seen.map(({ url }) => url)).toEqual(['/one', '/two'])
  })

  test('to SOAP and back goes by the last one', async ({ start, sandbox }) => {
    const gateway = await start()

    const reading = gateway.reload(config(sandbox, {}))
    await gateway.reload(readConfig(environment(sandbox)))
    await reading
    await calls.getchatchannels(gateway)
    await gateway.reload(config(sandbox, {}))
    await calls.getchatchannels(gateway)

    expect(sandbox.calls.map(({ transport }) => transport)).toEqual(['form', 'soap'])
  })
})
