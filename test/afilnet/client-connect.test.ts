import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { createServer, type Socket } from 'node:net'
import { createServer as createTls, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterEach, describe, expect, vi } from 'vitest'
import { freePort } from '../../bench/programs.ts'
import { canaries, type TestGateway, test } from '../gateway.ts'
import { calls, chat, kinds } from './calls.ts'
import { selfSigned } from './certificate.ts'
import { fullBacklog, listen, nameless } from './listeners.ts'

const ordinary = getCACertificates()
const trust = (...certificates: string[]) => setDefaultCACertificates([...ordinary, ...certificates])
afterEach(() => trust())

const everyKind = (gateway: TestGateway) => Promise.all(Object.values(kinds).map(method => calls[method](gateway)))
/** Why the log says that connections failed, each reason once. */
const reasonsIn = ({ log }: TestGateway) => [
  ...new Set(log.filter(({ msg }) => msg === 'connection to Afilnet failed').map(({ code, networkError }) => `${code} ${networkError}`)),
]
const unreachable = { status: 503, code: 'upstream-unreachable', outcome: 'not_applied', retry: 'yes' }

describe('an Afilnet that cannot be reached', () => {
  const silent = () => listen(createServer(socket => socket.resume()))
  const plain = () => listen(createHttp((_, response) => response.end('{"status":"SUCCESS"}')))

  test.for([
    ['refuses', 'ECONNREFUSED', async () => `http://127.0.0.1:${await freePort()}`],
    ['has no address', 'ENOTFOUND', async () => `http://${nameless}:${await freePort()}`],
    ['never accepts', 'ETIMEDOUT', async () => `http://127.0.0.1:${await fullBacklog()}`],
    ['never completes a TLS handshake', 'ETIMEDOUT', async () => `https://localhost:${await silent()}`],
    ['speaks no TLS', 'ERR_SSL_WRONG_VERSION_NUMBER', async () => `https://localhost:${await plain()}`],
  ] as const)('because it %s gets nothing', async ([, reason, origin], { start }) => {
    const gateway = await start({
      env: { AFILNET_URL: `${await origin()}/api/http/`, ...(reason === 'ETIMEDOUT' && { AFILNET_TIMEOUT_MS: '500' }) },
    })

    const replies = await everyKind(gateway)

    for (const { json, headers } of replies) {
      expect(json).toMatchObject(unreachable)
      expect(headers['retry-after']).toBe('1')
    }
    expect(reasonsIn(gateway)).toEqual([`upstream-unreachable ${reason}`])
    expect(await gateway.get('/health/live')).toMatchObject({ status: 200 })
  })

  test('keeps its place hardly longer than its time', async ({ start }) => {
    const env = { AFILNET_URL: `http://127.0.0.1:${await fullBacklog()}/api/http/`, AFILNET_TIMEOUT_MS: '700', AFILNET_CONNECTIONS: '1' }
    const gateway = await start({ env })
    await calls.getchats(gateway)

    // Until undici has given the connection up, the one place is taken.
    await vi.waitFor(async () => expect((await calls.getchats(gateway)).json).toMatchObject(unreachable), { timeout: 40_000 })
  })

  const localhost = selfSigned('localhost')
  const elsewhere = selfSigned('elsewhere.invalid')
  const expired = selfSigned('localhost', { from: -2, to: -1 })
  const early = selfSigned('localhost', { from: 1, to: 2 })

  test.for([
    ['no known CA has signed', 'DEPTH_ZERO_SELF_SIGNED_CERT', localhost, []],
    ['is for another name', 'ERR_TLS_CERT_ALTNAME_INVALID', elsewhere, [elsewhere.cert]],
    ['has expired', 'CERT_HAS_EXPIRED', expired, [expired.cert]],
    ['is not valid yet', 'CERT_NOT_YET_VALID', early, [early.cert]],
  ] as const)('because its certificate %s gets nothing', async ([, reason, identity, trusted], { start }) => {
    trust(...trusted)
    const seen: string[] = []
    const port = await listen(createHttps(identity, ({ url }) => void seen.push(String(url))))
    const gateway = await start({ env: { AFILNET_URL: `https://localhost:${port}/api/http/` } })

    const replies = await everyKind(gateway)

    for (const { json } of replies) expect(json).toMatchObject(unreachable)
    expect(reasonsIn(gateway)).toEqual([`upstream-unreachable ${reason}`])
    expect(seen).toEqual([])
  })

  test('is not one whose certificate is right', async ({ start }) => {
    trust(localhost.cert)
    const port = await listen(createHttps(localhost, (_, response) => response.end('{"status":"SUCCESS"}')))
    const gateway = await start({ env: { AFILNET_URL: `https://localhost:${port}/api/http/` } })

    const replies = await everyKind(gateway)

    expect(replies.map(({ status }) => status)).toEqual([200, 200, 201])
  })
})

describe('a connection that comes about too late', () => {
  /** Accepts at once, but completes the TLS handshake only on request. */
  async function hesitant() {
    const identity = selfSigned('localhost')
    trust(identity.cert)
    const received: string[] = []
    const tls = createTls(identity, socket => {
      socket
        .on('error', () => {})
        .on('data', bytes => {
          received.push(String(bytes))
          socket.destroy()
        })
    })
    const raw = createServer({ pauseOnConnect: true })
    const accepted = once(raw, 'connection') as Promise<[Socket]> // what that event carries
    const port = await listen(raw)
    return {
      url: `https://localhost:${port}/api/http/`,
      received,
      accepted,
      /** Resolves when the other side, knowing that it is connected now, has hung up. */
      shakeHands: async () => {
        const [socket] = await accepted
        const closed = once(socket, 'close')
        tls.emit('connection', socket)
        await closed
      },
    }
  }

  // Over a second undici's own timers are late by up to half of one: its connecting outlives the call.
  const env = { AFILNET_TIMEOUT_MS: '1010', AFILNET_CONNECTIONS: '1' }

  test('carries nothing of the calls that were answered meanwhile', async ({ start }) => {
    const afilnet = await hesitant()
    const gateway = await start({ env: { ...env, AFILNET_URL: afilnet.url } })

    // One of them connects, the other one waits for its place.
    const answers = await Promise.all(['a', 'b'].map(message => gateway.post(`${chat}/messages`, { message })))
    await afilnet.shakeHands()

    for (const { json } of answers) expect(json).toMatchObject({ status: 503, outcome: 'not_applied', retry: 'yes' })
    expect(answers.map(({ json }) => json.code).toSorted()).toEqual(['overloaded', 'upstream-unreachable'])
    expect(afilnet.received).toEqual([])
  })

  test('carries nothing of a read whose caller has left', async ({ start }) => {
    const afilnet = await hesitant()
    const gateway = await start({ env: { ...env, AFILNET_URL: afilnet.url } })

    const controller = new AbortController()
    const read = fetch(`${gateway.url}/chats/whatsapp/100`, {
      headers: { authorization: `Bearer ${canaries.key}` },
      signal: controller.signal,
    })
    await afilnet.accepted
    controller.abort()
    await expect(read).rejects.toThrow()
    await gateway.logged(line => line.aborted === true)
    await afilnet.shakeHands()

    expect(afilnet.received).toEqual([])
  })
})
