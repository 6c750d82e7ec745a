import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { freePort } from '../../../bench/programs.ts'
import { selfSigned } from '../../afilnet/certificate.ts'
import { fullBacklog, listen, nameless } from '../../afilnet/listeners.ts'
import { test } from './doctor.ts'

describe('the network', () => {
  const api = (origin: string) => ({ AFILNET_URL: `${origin}/api/http/`, AFILNET_TIMEOUT_MS: '700' })

  test('may not know the name', async ({ examine }) => {
    const { named, wrong } = await examine({ env: api(`https://${nameless}`) })

    expect(wrong).toEqual(['DNS', 'getchatchannels'])
    expect(named('TLS')).toMatchObject([{ verdict: 'skipped' }])
    expect(named('getchatchannels')).toMatchObject([{ facts: { fault: 'upstream-unreachable' } }])
    expect(named('difference')).toMatchObject([{ verdict: 'skipped' }])
    expect(named('wire format')).toMatchObject([{ verdict: 'skipped' }])
  })

  const hangs = process.platform === 'linux'
  test.skipIf(!hangs)('may have name servers that do not answer, which holds up nothing (needs Linux)', async ({ dir, examine }) => {
    // The C library looks for a name without dots in this file first, and waits for its writer.
    const aliases = join(dir, 'aliases')
    execFileSync('mkfifo', [aliases])
    const { named } = await examine({ env: { ...api('http://sandbox'), HOSTALIASES: aliases }, under: ['env'] })

    expect(named('DNS')).toMatchObject([{ verdict: 'broken', detail: 'sandbox: no answer within 700 ms' }])
  })

  test.for([
    ['refuses', freePort],
    ['never accepts', fullBacklog],
    ['accepts and is silent', () => listen(createServer(socket => socket.resume()))],
    ['speaks no TLS', () => listen(createServer(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))],
  ] as const)('may lead to a server that %s', async ([, port], { doctor }) => {
    const { code, out } = await doctor({ env: api(`https://127.0.0.1:${await port()}`) })

    expect(code).toBe(2)
    expect(out).toMatch(/^ {2}broken +TLS +.*a TLS connection could not be opened \([\w]+\)\n +→ /m)
    expect(out).toMatch(/^ {2}broken +getchatchannels +Afilnet cannot be reached/m)
  })

  /** A server of TLS that answers every call with an empty list. */
  const answering = (identity: { key: string; cert: string }, seen: string[]) =>
    createHttps(identity, ({ url }, response) => {
      seen.push(String(url))
      response.end('{"status":"SUCCESS","result":{"list":[]}}')
    }) as Server

  const localhost = (to: number) => selfSigned('localhost', { from: -9, to })
  const elsewhere = selfSigned('elsewhere.invalid')

  test.for([
    ['that is not signed by a trusted CA', localhost(90), false, 'broken', /not signed by a CA that this machine trusts/],
    ['for another host', elsewhere, true, 'broken', /for another host/],
    ['that has expired', localhost(-1), true, 'broken', /has expired/],
    ['that is not valid yet', selfSigned('localhost', { from: 1, to: 90 }), true, 'broken', /not valid yet/],
    ['that ends soon', localhost(20.5), true, 'warning', /TLSv1\.3, trusted, 20 days left/],
    ['that is right', localhost(21.5), true, 'ok', /TLSv1\.3, trusted, 21 days left/],
  ] as const)('may show a certificate %s', async ([, identity, trusted, verdict, detail], { examine, dir }) => {
    const seen: string[] = []
    const port = await listen(answering(identity, seen))
    writeFileSync(join(dir, 'ca.pem'), identity.cert)
    const trust = trusted ? { NODE_EXTRA_CA_CERTS: join(dir, 'ca.pem') } : {}

    const env = { ...api(`https://localhost:${port}`), AFILNET_TIMEOUT_MS: '5000', ...trust }
    const { named, wrong } = await examine({ env, ...(trusted && { under: [] }) }) // a process reads NODE_EXTRA_CA_CERTS when it starts

    expect(named('TLS')).toMatchObject([{ verdict, detail: expect.stringMatching(detail) }])
    expect(wrong).toEqual({ ok: [], warning: ['TLS'], broken: ['TLS', 'getchatchannels'] }[verdict])
    expect(seen).toEqual(verdict === 'broken' ? [] : ['/api/http/'])
    expect(named('DNS')).toMatchObject([{ verdict: 'ok', detail: expect.stringMatching(/^localhost: \d IPv4 and \d IPv6 addresses/) }])
  })

  /** A proxy that opens every tunnel to one port, or answers with a status. */
  const proxy = async (answer: { to: number } | { status: number }) => {
    const server = createHttp().on('connect', (_, socket: Socket) => {
      socket.on('error', () => {})
      if ('status' in answer) return void socket.end(`HTTP/1.1 ${answer.status} No\r\nContent-Length: 0\r\n\r\n`)
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(connect(answer.to, '127.0.0.1').on('error', () => {})).pipe(socket)
    })
    return { AFILNET_PROXY: `http://ops:fake-proxy-password@127.0.0.1:${await listen(server)}` }
  }

  test('may leave only the way through a proxy, which knows the name', async ({ examine, dir }) => {
    const identity = selfSigned(nameless, { from: -9, to: 90 })
    const seen: string[] = []
    const env = await proxy({ to: await listen(answering(identity, seen)) })
    writeFileSync(join(dir, 'ca.pem'), identity.cert)

    const trust = { NODE_EXTRA_CA_CERTS: join(dir, 'ca.pem'), AFILNET_TIMEOUT_MS: '5000' }
    const { named, wrong } = await examine({ env: { ...api(`https://${nameless}`), ...env, ...trust }, under: [] })

    expect(wrong).toEqual([])
    expect(named('DNS')).toMatchObject([{ verdict: 'ok', detail: '127.0.0.1: an address, nothing to resolve' }])
    expect(named('proxy')).toMatchObject([{ verdict: 'ok', detail: `opened a tunnel to ${nameless}:443` }])
    expect(named('TLS')).toMatchObject([{ verdict: 'ok', detail: expect.stringMatching(/trusted, 89 days left/) }])
    expect(seen).toEqual(['/api/http/'])
  })

  test('may have something behind the proxy that is not the server of that name', async ({ examine }) => {
    const env = await proxy({ to: await listen(answering(selfSigned(nameless), [])) })

    const { named, wrong } = await examine({ env: { ...api(`https://${nameless}`), ...env } })

    expect(named('TLS')).toMatchObject([
      { verdict: 'broken', detail: expect.stringMatching(/not signed by a CA that this machine trusts/) },
    ])
    expect(wrong).toEqual(['TLS', 'getchatchannels'])
  })

  test.for([
    [407, /answered HTTP 407/, /user and password/],
    [401, /answered HTTP 401/, /user and password/],
    [403, /answered HTTP 403/, /allow CONNECT to a+\.localhost:443/],
    [502, /answered HTTP 502/, /why the proxy cannot reach a+\.localhost:443/],
  ] as const)('may have a proxy that answers %d', async ([status, detail, todo], { doctor, examine }) => {
    const env = { ...api(`https://${nameless}`), ...(await proxy({ status })) }

    const { named, wrong } = await examine({ env })

    expect(named('proxy')).toMatchObject([{ verdict: 'broken', detail: expect.stringMatching(detail), todo: expect.stringMatching(todo) }])
    expect(named('TLS')).toMatchObject([{ verdict: 'skipped' }])
    expect(wrong).toEqual(['proxy', 'getchatchannels'])
    expect((await doctor({ env })).out).not.toMatch(/fake-proxy-password|b3Bz/)
  })

  test('may have a proxy that cannot be reached, or whose certificate is not trusted', async ({ examine }) => {
    const through = (url: string) => examine({ env: { ...api(`https://${nameless}`), AFILNET_PROXY: url } })
    const closed = await through(`http://127.0.0.1:${await freePort()}`)
    const distrusted = await through(`https://localhost:${await listen(answering(localhost(90), []))}`)

    expect(closed.named('proxy')).toMatchObject([{ verdict: 'broken', detail: `opened no tunnel to ${nameless}:443 (ECONNREFUSED)` }])
    expect(closed.wrong).toEqual(['proxy', 'getchatchannels'])
    expect(distrusted.named('proxy')).toMatchObject([
      { detail: expect.stringMatching(/its own certificate is not signed by a CA/), todo: expect.stringMatching(/NODE_EXTRA_CA_CERTS/) },
    ])
  })
})
