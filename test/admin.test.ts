import { hash } from 'node:crypto'
import dns from 'node:dns/promises'
import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import { connect, createServer } from 'node:net'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../src/config/config.ts'
import { canaries, environment, test } from './gateway.ts'

const ask = async (url: string | undefined, path: string, init?: RequestInit) => {
  const answer = await fetch(`${url}${path}`, init)
  const text = await answer.text()
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    json: /json/.test(String(answer.headers.get('content-type'))) ? JSON.parse(text) : undefined,
  }
}

/** How many of eighty connections are answered while all of them stay open. */
async function answeredAt(port: number, host: string) {
  const answers = Array.from({ length: 80 }, async () => {
    const socket = connect(port, host).on('error', () => {})
    onTestFinished(() => void socket.destroy())
    socket.write('GET /callers HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [])]).catch(() => [])
  })
  return (await Promise.all(answers)).filter(([bytes]) => String(bytes).startsWith('HTTP/1.1 200 ')).length
}

describe('GET /callers', () => {
  test('tells of each key when it was last used and how long it lasts, by eight digits', async ({ start }) => {
    const next = 'fake-next-key-0123456789'
    const soon = new Date(Date.now() + 10.5 * 86_400_000).toISOString()
    const gateway = await start({
      callers: {
        crm: { key: 'fake-crm-key-0123456789', expires: soon, rateLimit: { sendsPerDay: 5 }, chats: ['whatsapp/100/34600000000'] },
        gone: { key: 'fake-gone-key-0123456789', disabled: true, expires: '2020-01-31T00:00:00Z', scopes: [] },
      },
      env: { GATEWAY_KEY_SHA256: `${hash('sha256', canaries.key)},${hash('sha256', next)}` },
    })
    const before = Date.now()
    await gateway.request('/me', { key: next })
    await gateway.request('/me', { key: 'fake-gone-key-0123456789' })

    const { status, json, headers } = await ask(gateway.adminUrl, '/callers')

    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    const [one, crm, gone] = json.items
    expect(one).toMatchObject({ caller: 'default', account: 'default', disabled: false })
    expect(one.keys).toEqual([
      { sha256: hash('sha256', canaries.key).slice(0, 8), lastUsedAt: null },
      { sha256: hash('sha256', next).slice(0, 8), lastUsedAt: expect.any(String) },
    ])
    expect(Date.parse(one.keys[1].lastUsedAt)).toBeGreaterThanOrEqual(before)
    expect(crm).toMatchObject({ caller: 'crm', expires: soon, daysToExpiry: 10, rateLimit: { sendsPerDay: 5 } })
    expect(gone).toMatchObject({ caller: 'gone', disabled: true, scopes: [], keys: [{ lastUsedAt: expect.any(String) }] })
    expect(gone.daysToExpiry).toBeLessThan(-365)
    expect(JSON.stringify(json)).not.toMatch(/[0-9a-f]{9}|demo@sandbox|34600000000/)
  })

  test('keeps the last use of a key over a reload, and tells of the callers that there are then', async ({ start, sandbox }) => {
    const gateway = await start({ callers: { gone: { key: 'fake-gone-key-0123456789' } } })
    await gateway.get('/me')
    const lastUsedAt = async () => {
      const { json } = await ask(gateway.adminUrl, '/callers')
      return json.items.map((item: { caller: string; keys: { lastUsedAt: string }[] }) => [item.caller, item.keys[0]?.lastUsedAt])
    }
    const [used, gone] = await lastUsedAt()
    expect([used, gone]).toEqual([
      ['default', expect.any(String)],
      ['gone', null],
    ])

    await gateway.reload(readConfig(environment(sandbox)))

    expect(await lastUsedAt()).toEqual([used])
  })
})

describe('The admin listener', () => {
  test('answers one request of a connection at a time, and few connections', async ({ gateway }) => {
    const { hostname, port } = new URL(String(gateway.adminUrl))
    const open = () => {
      const socket = connect(Number(port), hostname).on('error', () => {})
      onTestFinished(() => void socket.destroy())
      return socket
    }
    const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const answersTo = async (bytes: string) => {
      let text = ''
      const socket = open().on('data', chunk => (text += chunk))
      socket.write(bytes)
      await once(socket, 'close')
      return text
        .split('HTTP/1.1 ')
        .slice(1)
        .map(answer => answer.slice(0, 3))
    }

    expect(await answersTo(request.repeat(500))).toEqual([])
    expect(await answersTo(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))).toEqual(['200'])
    expect(await answeredAt(Number(port), hostname)).toBeLessThanOrEqual(64)
    expect((await gateway.get('/health/live')).status).toBe(200)
  })

  test('takes as few connections at the second address of its host', async ({ start }) => {
    const found = ['127.0.0.1', '127.0.0.2'].map(address => ({ address, family: 4 }))
    const lookup = vi.spyOn(dns, 'lookup').mockResolvedValue(found as never) // it is typed after the form that gives one address
    syncBuiltinESMExports()
    onTestFinished(() => {
      lookup.mockRestore()
      syncBuiltinESMExports()
    })
    const gateway = await start({ env: { ADMIN_HOST: 'localhost' } })

    expect(await answeredAt(Number(new URL(String(gateway.adminUrl)).port), '127.0.0.2')).toBe(64)
  })

  test('serves metrics that a Prometheus can read', async ({ gateway }) => {
    const { status, headers, text } = await ask(gateway.adminUrl, '/metrics')

    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(text).toMatch(/^gateway_config_reloads_total\{result="applied"\} 0$/m)
    expect(text).toMatch(/^gateway_config_reloads_total\{result="refused"\} 0$/m)
    expect(text).toMatch(/^gateway_config_current 1$/m)
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
  })

  test.for([
    ['POST', '/metrics', 405],
    ['DELETE', '/callers', 405],
    ['GET', '/', 404],
    ['GET', '/channels', 404],
    ['GET', '/callers/../metrics/x', 404],
  ] as const)('answers %s %s with %i', async ([method, path, status], { gateway }) => {
    const reply = await ask(gateway.adminUrl, path, { method })

    expect(reply.status).toBe(status)
    expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    if (status === 405) expect(reply.headers.get('allow')).toBe('GET, HEAD')
  })

  test('is not on the public listener', async ({ gateway }) => {
    for (const path of ['/metrics', '/callers']) expect((await gateway.get(path)).status).toBe(404)
  })

  test.for(['evil.example', 'evil.example:3001', '127.0.0.1.evil.example', ''])(
    'on loopback, refuses to be %j',
    async (host, { gateway }) => {
      const { port } = new URL(String(gateway.adminUrl))
      const { request } = await import('undici')

      const { statusCode, body } = await request(`http://127.0.0.1:${port}/callers`, { headers: { host } })

      expect(statusCode).toBe(400)
      expect(await body.json()).toMatchObject({ code: 'invalid-request' })
    },
  )

  test('on all addresses, says so and takes any name', async ({ start }) => {
    const gateway = await start({ env: { ADMIN_HOST: '0.0.0.0' } })
    const { port } = new URL(String(gateway.adminUrl))
    const { request } = await import('undici')

    const { statusCode, body } = await request(`http://127.0.0.1:${port}/callers`, { headers: { host: 'gateway-0.monitoring' } })
    await body.dump()

    expect(statusCode).toBe(200)
    await gateway.logged(({ msg }) => msg === 'admin listener reachable from other machines; it requires no key')
  })

  test('that was asked for and is taken, or at an address of another machine, keeps the gateway from starting', async ({ start }) => {
    const other = createServer()
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void other.close())
    const { port } = other.address() as { port: number }

    await expect(start({ env: { ADMIN_PORT: String(port) } })).rejects.toThrow('EADDRINUSE')
    await expect(start({ env: { ADMIN_PORT: '', ADMIN_HOST: '192.0.2.1' } })).rejects.toThrow('EADDRNOTAVAIL')
  })

  test('that was not asked for does not, and says that it is not there', async ({ start }) => {
    const other = createServer()
    await new Promise<void>(resolve => other.on('error', () => resolve()).listen(3001, '127.0.0.1', resolve)) // or it is taken already
    onTestFinished(() => void other.close())

    const gateway = await start({ env: { ADMIN_PORT: '' } })

    expect(gateway.adminUrl).toBeUndefined()
    expect((await gateway.get('/me')).status).toBe(200)
    await gateway.logged(({ msg }) => /^admin port in use/.test(String(msg)))
  })

  test.for(['', 'GET /metrics HTT', 'POST /callers HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{'])(
    'does not hold up a drain with a connection that says %j',
    async (bytes, { start }) => {
      const gateway = await start()
      const { hostname, port } = new URL(String(gateway.adminUrl))
      const socket = connect(Number(port), hostname)
      socket.on('error', () => {})
      socket.write(bytes)
      await ask(gateway.adminUrl, '/callers') // so that the other connection has arrived too

      expect(await gateway.drain()).toBe(true)

      await expect(ask(gateway.adminUrl, '/metrics')).rejects.toThrow()
    },
  )

  test.for(['GET /%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 'GARBAGE\r\n\r\n', 'GET /metrics HTTP/1.1\r\n\r\n'])(
    'answers %j as a problem and repeats nothing of it',
    async (bytes, { gateway }) => {
      const { hostname, port } = new URL(String(gateway.adminUrl))
      const socket = connect(Number(port), hostname)
      onTestFinished(() => void socket.destroy())
      socket.write(bytes)

      const said = String((await once(socket, 'data'))[0])

      expect(said).toMatch(/^HTTP\/1\.1 400 /)
      expect(said).toMatch(/content-type: application\/problem\+json/i)
      expect(said).not.toContain('%zz')
    },
  )

  test('is closed when the gateway drains', async ({ start }) => {
    const gateway = await start()

    expect(await gateway.drain()).toBe(true)

    await expect(ask(gateway.adminUrl, '/metrics')).rejects.toThrow()
  })
})
