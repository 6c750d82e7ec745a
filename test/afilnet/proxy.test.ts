import { once } from 'node:events'
import { createServer as createHttp, type IncomingMessage } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { connect, type Socket } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, describe, expect } from 'vitest'
import { test } from '../gateway.ts'
import { calls } from './calls.ts'
import { selfSigned } from './certificate.ts'
import { listen } from './listeners.ts'

const ordinary = getCACertificates()
afterEach(() => setDefaultCACertificates(ordinary))

const password = 'fake-proxy-pässword'
const authorization = `Basic ${Buffer.from(`ops:${password}`).toString('base64')}`

/** A small proxy that opens tunnels to clients with its password. */
async function openProxy() {
  const seen: { target: string | undefined; authorization: string | undefined }[] = []
  const server = createHttp((_, response) => response.writeHead(400).end())
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => {})
    seen.push({ target: request.url, authorization: request.headers['proxy-authorization'] })
    if (request.headers['proxy-authorization'] !== authorization) {
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
    }
    const [host = '', port] = String(request.url).split(':')
    const target = connect(Number(port), host).on('error', () => socket.destroy())
    void once(target, 'connect').then(() => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(target).pipe(socket)
    })
  })
  return { port: await listen(server), seen }
}

const urlOf = (port: number, secret = password) => `http://ops:${encodeURIComponent(secret)}@127.0.0.1:${port}`

describe('AFILNET_PROXY', () => {
  test('carries every call in a tunnel', async ({ start, sandbox }) => {
    const proxy = await openProxy()
    const gateway = await start({ env: { AFILNET_PROXY: urlOf(proxy.port) } })

    const replies = [await calls.getchatchannels(gateway), await calls.sendmessage(gateway)]

    expect(replies.map(({ status }) => status)).toEqual([200, 201])
    expect(sandbox.calls).toHaveLength(2)
    expect(new Set(proxy.seen.map(({ target }) => target))).toEqual(new Set([new URL(sandbox.url).host]))
    expect(JSON.stringify(sandbox.calls.map(({ headers }) => headers))).not.toContain('proxy')
  })

  test('checks the certificate of Afilnet behind it', async ({ start }) => {
    const proxy = await openProxy()
    const identity = selfSigned('localhost')
    const port = await listen(createHttps(identity, (_, response) => response.end('{"status":"SUCCESS"}')))
    const env = { AFILNET_PROXY: urlOf(proxy.port), AFILNET_URL: `https://localhost:${port}/api/http/` }
    const distrusting = await start({ env })
    const before = await calls.sendmessage(distrusting)

    setDefaultCACertificates([...ordinary, identity.cert])
    const after = await calls.sendmessage(await start({ env }))

    expect(before.json).toMatchObject({ status: 503, code: 'upstream-unreachable', outcome: 'not_applied' })
    expect(after.status).toBe(201)
  })

  test.for([
    ['refuses the credentials', async () => urlOf((await openProxy()).port, 'fake-wrong-password')],
    ['cannot be reached', async () => urlOf(1)],
    ['hangs up', async () => urlOf(await listen(createHttp().on('connect', (_, socket) => socket.destroy())))],
    ['speaks no HTTP', async () => urlOf(await listen(createHttp().on('connect', (_, socket) => socket.end('SSH-2.0\r\n'))))],
  ] as const)('that %s leaves nothing at Afilnet and no trace of its password', async ([, url], { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_PROXY: await url() } })

    const replies = await Promise.all([calls.getchats(gateway), calls.sendmessage(gateway)])

    for (const { json } of replies) expect(json).toMatchObject({ status: 503, code: 'upstream-unreachable', outcome: 'not_applied' })
    expect(sandbox.calls).toEqual([])
    expect(gateway.log).toContainEqual(
      expect.objectContaining({ msg: 'connection to Afilnet failed', operation: 'sendmessage', networkError: 'PROXY_TUNNEL_FAILED' }),
    )
    const said = JSON.stringify([gateway.log, replies])
    for (const secret of [password, 'fake-wrong-password', encodeURIComponent(password), authorization]) expect(said).not.toContain(secret)
  })

  test.for([
    ['', 'https://afilnet.example', 'afilnet.example:443', undefined],
    ['token@', 'http://localhost', 'localhost:80', 'token:'],
    [':fake-secret@', 'http://[::1]:81', '[::1]:81', ':fake-secret'],
    ['ops%40example.com:fake%25@', 'https://127.0.0.1:444', '127.0.0.1:444', 'ops@example.com:fake%'],
  ] as const)('of "%s" is asked for %s', async ([userinfo, origin, target, credentials], { start }) => {
    const proxy = await openProxy()
    const gateway = await start({ env: { AFILNET_PROXY: `http://${userinfo}127.0.0.1:${proxy.port}`, AFILNET_URL: `${origin}/api/http/` } })

    await calls.getchats(gateway)

    expect(proxy.seen[0]).toEqual({ target, authorization: credentials && `Basic ${Buffer.from(credentials).toString('base64')}` })
  })

  test.for([
    ['refuses', (socket: Socket) => void socket.write('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')],
    ['says nothing', () => {}],
  ] as const)('that %s loses the connection', async ([, respond], { start }) => {
    const ends: Promise<unknown>[] = []
    const proxy = createHttp().on('connect', (_, socket: Socket) => {
      ends.push(once(socket.on('error', () => {}).resume(), 'end'))
      respond(socket)
    })
    const gateway = await start({ env: { AFILNET_PROXY: urlOf(await listen(proxy)), AFILNET_TIMEOUT_MS: '500' } })

    const { json } = await calls.sendmessage(gateway)
    await Promise.all(ends)

    expect(json).toMatchObject({ status: 503, code: 'upstream-unreachable', outcome: 'not_applied' })
    expect(ends.length).toBeGreaterThan(0)
  })

  test('is left alone after a few connections if bytes come out of its tunnels before the request', async ({ start }) => {
    let tunnels = 0
    const proxy = createHttp().on('connect', (_, socket) => {
      tunnels++
      socket.on('error', () => {}).write('HTTP/1.1 200 OK\r\n\r\nHELLO')
    })
    const gateway = await start({ env: { AFILNET_PROXY: urlOf(await listen(proxy)) } })

    expect((await calls.sendmessage(gateway)).json).toMatchObject({ status: 503, code: 'upstream-unreachable', outcome: 'not_applied' })
    expect(tunnels).toBeLessThanOrEqual(6) // two for each of three attempts
  })
})
