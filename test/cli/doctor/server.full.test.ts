import { describe, expect, onTestFinished } from 'vitest'
import { noServer, startServer } from '../../store/valkey/server.ts'
import { test } from './doctor.ts'

describe.skipIf(noServer)('a store on a server (needs redis-server)', () => {
  const make = async (settings: Record<string, string> = {}) => {
    const server = await startServer({ settings })
    onTestFinished(server.end)
    return { server, env: { STORE_URL: server.url() } }
  }

  test('is written and read beside a gateway, and left as it was', async ({ examine, start }) => {
    const { server, env } = await make()
    const gateway = await start({ env })
    await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    await gateway.drain()
    const digest = () => {
      server.cli('HSET', 'afg:ledger', 'clock', '0') // every heartbeat moves it
      return server.cli('DEBUG', 'DIGEST')
    }
    const before = digest()

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual([])
    expect(named('server')).toMatchObject([
      { verdict: 'ok', detail: expect.stringMatching(/^\w+ \d+\.\d+\.\d+, \d+\.\d MB used, replicas: 0$/) },
    ])
    expect(named('writing')).toMatchObject([{ verdict: 'ok' }])
    expect(named('reading')).toMatchObject([{ verdict: 'ok', facts: { problems: 0 } }])
    expect(digest()).toBe(before)
  })

  test('that is empty is not begun', async ({ examine }) => {
    const { server, env } = await make()

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual([])
    expect(named('place')).toMatchObject([{ verdict: 'note' }])
    expect(server.cli('DBSIZE')).toBe('0')
  })

  test('that could forget a key says when', async ({ examine }) => {
    const { env } = await make({ appendonly: 'no', 'maxmemory-policy': 'allkeys-lru', maxmemory: '200mb' })

    const { named, code } = await examine({ env })

    expect(code).toBe(1)
    expect(named('durability').map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/appendonly no.*sent again/),
      expect.stringMatching(/allkeys-lru.*sent again/),
      expect.stringContaining('less memory (maxmemory) than STORE_MAX_MB'),
    ])
  })

  test('of a newer release is broken, and is not touched', async ({ examine }) => {
    const { server, env } = await make()
    server.cli('SET', 'afg:schema', '99')
    const before = server.cli('DEBUG', 'DIGEST')

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual(['version'])
    expect(named('version')).toMatchObject([{ detail: expect.stringContaining('schema version 99'), facts: { fault: 'version' } }])
    expect(server.cli('DEBUG', 'DIGEST')).toBe(before)
  })

  test('that is full is broken, although it could still be read', async ({ examine, start }) => {
    const { server, env } = await make()
    await (await start({ env })).post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    server.cli('CONFIG', 'SET', 'maxmemory', '1')

    const { named, wrong } = await examine({ env })

    expect(wrong).toContain('memory')
    expect(named('memory')).toMatchObject([{ verdict: 'broken', detail: 'the memory of the server is full', facts: { fault: 'full' } }])
  })

  test('that has lost keys is broken', async ({ examine, start }) => {
    const { server, env } = await make()
    const gateway = await start({ env })
    const { json } = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    server.cli('DEL', `afg:send:${json.id}`)

    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual(['reading'])
    expect(named('reading')).toMatchObject([{ verdict: 'broken', facts: { problems: 1 } }])
  })

  test('that is away, or wants a password, is broken', async ({ examine }) => {
    const { server } = await make({ requirepass: 'fake-store-password' })
    const denied = await examine({ env: { STORE_URL: server.url() } })
    await server.kill()
    const away = await examine({ env: { STORE_URL: server.url() } })

    expect([denied.named('server')[0]?.facts, away.named('server')[0]?.facts]).toEqual([{ fault: 'denied' }, { fault: 'away' }])
    expect([denied.wrong, away.wrong]).toEqual([['server'], ['server']])
  })
})
