import { describe, expect, onTestFinished, vi } from 'vitest'
import { canaries, sharedTest as test } from '../gateway.ts'

const chat = '/chats/whatsapp/100/34600000000'
const pattern = '/chats/:platform/:platformId/:destination'
const requestId = 'request-0123456789'
const key = `Authorization: Bearer ${canaries.key}\r\n`
const wire = (line: string, headers = '') =>
  `${line} HTTP/1.1\r\nHost: gateway\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\n${key}${headers}\r\n`

const ms = expect.any(Number)

describe('The line of a request', () => {
  test.for([
    ['a query', wire('GET /sends?limit=7'), { method: 'GET', route: '/sends', status: 200, caller: 'default' }],
    ['a read', wire('GET /channels'), { method: 'GET', route: '/channels', status: 200, caller: 'default', ms, upstreamMs: ms }],
    ['a HEAD', wire('HEAD /channels'), { method: 'HEAD', route: '/channels', status: 200, caller: 'default', ms, upstreamMs: ms }],
    ['what is still the same', wire('GET /channels', 'If-None-Match: *\r\n'), { route: '/channels', status: 304, caller: 'default' }],
    [
      'a refusal of Afilnet',
      wire('GET /chats/whatsapp/CHAT_NOT_FOUND'),
      { route: '/chats/:platform/:platformId', status: 404, code: 'chat-not-found', upstreamCode: 'CHAT_NOT_FOUND', upstreamMs: ms },
    ],
    [
      'a page that is no answer',
      wire('GET /chats/whatsapp/html'),
      { route: '/chats/:platform/:platformId', status: 502, code: 'upstream-invalid-response', upstreamMs: ms },
    ],
    ['no key', wire('GET /channels').replace(key, ''), { route: '/channels', status: 401, code: 'unauthenticated' }],
    ['an unknown path', wire('GET /nothing'), { method: 'GET', status: 404, code: 'not-found' }],
    ['a wrong method', wire('DELETE /channels'), { method: 'DELETE', status: 405, code: 'method-not-allowed' }],
    ['a bad URL', wire('GET /%zz'), { method: 'GET', status: 400, code: 'invalid-request' }],
    [
      'half a body',
      wire(`POST ${chat}/messages`, 'Content-Type: application/json\r\nContent-Length: 9\r\n'),
      { method: 'POST', route: `${pattern}/messages`, status: 408, code: 'request-timeout', caller: 'default' },
    ],
  ] as const)('tells of %s', async ([, bytes, line], { start }) => {
    const gateway = await start({ timeouts: { requestMs: 200, headersMs: 200, checkEveryMs: 25 } })

    await gateway.raw(bytes)

    const written = await gateway.logged(({ msg }) => msg === 'request')
    expect(written).toMatchObject({ level: 30, requestId, ...line })
    expect(gateway.log.filter(({ requestId: id }) => id === requestId)).toEqual([written])
  })

  test.for([
    ['half of the headers', 'GET /channels HTTP/1.1\r\nHost', { status: 408, code: 'request-timeout' }],
    ['no HTTP at all', 'hello\r\n\r\n', { status: 400, code: 'invalid-request' }],
    ['headers that are too large', wire('GET /', `X: ${'x'.repeat(20_000)}\r\n`), { status: 431, code: 'headers-too-large' }],
    ['a tunnel', wire('CONNECT host:1'), { status: 405, code: 'method-not-allowed' }],
  ] as const)('tells of %s', async ([, bytes, line], { start }) => {
    const gateway = await start({ timeouts: { requestMs: 200, headersMs: 200, checkEveryMs: 25 } })

    await gateway.raw(bytes)

    const written = await gateway.logged(({ msg }) => msg === 'connection refused')
    expect(written).toMatchObject({ level: 30, requestId: expect.stringMatching(/^[0-9a-f-]{36}$|^request-0123456789$/), ...line })
    expect(gateway.log.filter(({ status }) => status !== undefined)).toEqual([written])
  })

  test('tells of 20 connections a second that cannot be read, and later how many more there were', async ({ start }) => {
    const gateway = await start({ alone: true })
    const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
    onTestFinished(() => clock.mockRestore())
    for (let i = 0; i < 30; i++) await gateway.raw('hello\r\n\r\n')
    const told = () => gateway.log.filter(({ msg }) => msg === 'connection refused')
    expect(told()).toHaveLength(20)
    clock.mockReturnValue(performance.now() + 1_000)
    for (let i = 0; i < 2; i++) await gateway.raw('hello\r\n\r\n')

    expect(told().map(({ skipped }) => skipped)).toEqual([...Array(20).fill(undefined), 10, undefined])
  })

  test('tells of a caller who leaves, and nothing is anybody’s fault', async ({ gateway, sandbox }) => {
    const socket = gateway.open()
    socket.write(wire('GET /chats/whatsapp/silent'))
    await sandbox.called(1)

    socket.destroy()

    const written = await gateway.logged(({ route }) => route === '/chats/:platform/:platformId')
    expect(written).toMatchObject({ level: 30, aborted: true, caller: 'default', requestId })
    expect(written).not.toHaveProperty('status')
    await gateway.get('/health/live')
    expect(gateway.log.filter(({ level }) => Number(level) > 30)).toEqual([])
  })

  test.for([
    ['closes', 'destroy'],
    ['resets', 'resetAndDestroy'],
  ] as const)(
    'tells of a caller who %s in the middle of a body, and nothing is anybody’s fault',
    async ([, leave], { gateway, sandbox }) => {
      const socket = gateway.open()
      await new Promise<void>(resolve =>
        socket.write(wire(`POST ${chat}/messages`, 'Content-Type: application/json\r\nContent-Length: 9\r\n'), () => resolve()),
      )
      await gateway.get('/health/live')

      socket[leave]()

      expect(await gateway.logged(({ route }) => route === `${pattern}/messages`)).toMatchObject({
        level: 30,
        caller: 'default',
        requestId,
      })
      await gateway.get('/health/live')
      expect(gateway.log.filter(({ level }) => Number(level) > 30)).toEqual([])
      expect(sandbox.calls).toEqual([])
    },
  )

  test('names the caller', async ({ start }) => {
    const crm = { key: 'fake-crm-key-0123456789' }
    const gateway = await start({ callers: { crm } })

    await gateway.request('/me', { key: crm.key })

    expect(await gateway.logged(({ route }) => route === '/me')).toMatchObject({ caller: 'crm', status: 200 })
  })
})
