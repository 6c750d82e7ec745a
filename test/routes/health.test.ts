import { describe, expect, vi } from 'vitest'
import { test } from '../gateway.ts'

describe('GET /health/live', () => {
  test('says that the process lives, to anyone', async ({ gateway }) => {
    const reply = await gateway.request('/health/live', { key: null })

    expect(reply).toMatchObject({ status: 200, json: { status: 'live' }, headers: { 'cache-control': 'no-store' } })
  })
})

describe('GET /health/ready', () => {
  test('shows the sandbox once it has answered', async ({ gateway }) => {
    const before = await gateway.request('/health/ready', { key: null })
    await gateway.get('/channels')
    const after = await gateway.request('/health/ready', { key: null })

    expect(before).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } })
    expect(before.json).toEqual({ status: 'ready', store: 'ok', credentials: 'ok' })
    expect(after.json).toEqual({ status: 'ready', store: 'ok', credentials: 'ok', sandbox: true })
  })

  test('stays ready when Afilnet is away', async ({ gateway, sandbox }) => {
    await sandbox.close()

    const read = await gateway.get('/channels')
    const ready = await gateway.get('/health/ready')

    expect(read).toMatchObject({ status: 503, json: { code: 'upstream-unreachable' } })
    expect(ready.status).toBe(200)
  })
})

describe('A gateway that is leaving', () => {
  test('serves for no longer than DRAIN_MS has room for', async ({ start }) => {
    const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '500', DRAIN_MS: '1500', DRAIN_DELAY_MS: '70000' } })

    expect(await gateway.drain()).toBe(true)
  })

  test('says so first, then refuses new requests, and answers the accepted ones', async ({ start, sandbox }) => {
    const gateway = await start({ env: { DRAIN_DELAY_MS: '1000' } })
    sandbox.answer({ method: 'sendmessage', delayMs: 3_000 })

    const accepted = gateway.post('/chats/telegram/200/1/messages', { message: 'Hello' })
    await sandbox.called(1)
    const drained = gateway.drain()
    const leaving = await gateway.get('/health/ready')
    const served = await gateway.get('/channels')
    const refused = await vi.waitFor(
      async () => {
        const reply = await gateway.get('/channels')
        expect(reply.status).toBe(503)
        return reply
      },
      { timeout: 40_000 },
    )
    const unknown = await gateway.request('/nothing', { key: null })
    const draining = await gateway.get('/health/ready')
    const live = await gateway.get('/health/live')

    expect(leaving).toMatchObject({ status: 503, json: { status: 'draining' }, headers: { 'cache-control': 'no-store' } })
    expect(served).toMatchObject({ status: 200, headers: { connection: 'close' } })
    expect(refused).toMatchObject({
      json: { code: 'draining', outcome: 'not_applied', retry: 'yes' },
      headers: { 'retry-after': '1', connection: 'close', 'content-type': 'application/problem+json; charset=utf-8' },
    })
    expect(unknown.json).toMatchObject({ code: 'draining' })
    expect([draining.status, live.status]).toEqual([503, 200])
    expect((await accepted).status).toBe(201)
    await drained
    await expect(gateway.get('/health/live')).rejects.toThrow()
  })
})
