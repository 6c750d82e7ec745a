import { mkdirSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { openStore } from '../../src/store/open.ts'
import { canaries, environment, readAnswers, test } from '../gateway.ts'
import { policy } from '../store/sends.ts'
import { secret, startReceiver } from '../webhooks/receiver.ts'

const chat = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const eventually = (expectation: () => unknown) => vi.waitFor(expectation, { interval: 20, timeout: 40_000 })

async function receiving() {
  const receiver = await startReceiver()
  onTestFinished(receiver.close)
  const env = { EVENTS_CHANNELS: '*', EVENTS_INTERVAL_MS: '1000', WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: secret }
  return { receiver, env }
}

describe('a configured webhook', () => {
  test('gets what a customer writes, with its text, as GET /events shows it', async ({ sandbox, start }) => {
    const { receiver, env } = await receiving()
    const gateway = await start({ env })
    await sandbox.until(({ calls }) => calls.some(({ params }) => params.some(([, value]) => value === 'getchats')))
    await eventually(async () => expect((await gateway.get('/webhooks')).json.items).toMatchObject([{ name: 'default', state: 'ok' }]))
    // The first look at the channel makes no events, so the customer asks until one is heard.
    await vi.waitFor(
      () => {
        if (receiver.posts.length === 0) sandbox.receive({ ...chat, message: 'Is anybody there?' })
        expect(receiver.posts.length).toBeGreaterThan(0)
      },
      { interval: 1_000, timeout: 40_000 },
    )
    const { items } = (await gateway.get('/events')).json

    expect(receiver.posts[0]?.event).toEqual(items[0])
    expect(items[0]).toMatchObject({ type: 'message.created', message: { message: 'Is anybody there?' }, direction: 'in' })
    for (const [type, body] of [
      ['application/json', '{}'],
      ['application/json', ''],
      ['application/x-www-form-urlencoded', ''],
    ] as const) {
      const tried = await gateway.request('/webhooks/default/test', { method: 'POST', headers: { 'content-type': type }, body })
      expect(tried).toMatchObject({ status: 200, json: { status: 204 } })
    }
    const bare = `POST /webhooks/default/test HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\n`
    const tried = await gateway.raw(`${bare}Content-Type: application/json\r\nConnection: close\r\n\r\n`)
    expect(readAnswers(tried), 'as curl -X POST sends it, without a length').toMatchObject([{ status: 200 }])
    expect((await gateway.post('/webhooks/default/redrive', { after: items[0].id })).status).toBe(202)
    await eventually(async () => expect((await gateway.get('/webhooks/default/deliveries?limit=5')).json).toEqual({ items: [] }))
    expect((await gateway.post('/webhooks/default/redrive', { after: 'x' })).json).toMatchObject({ code: 'invalid-request' })
    expect((await gateway.post('/webhooks/default/redrive', {})).status).toBe(400)
    expect((await gateway.get('/webhooks/other/deliveries')).json).toMatchObject({ status: 404, code: 'webhook-not-found' })
  })
})

describe('a webhook whose ledger is replaced under the running gateway', () => {
  test('gets a gap, then what the next log has', async ({ sandbox, start, ledgerFile: file }) => {
    const { receiver, env } = await receiving()
    const gateway = await start({ env: { ...env, STORE_URL: `sqlite:${file}` } })
    const askUntil = (isHeard: () => boolean) =>
      vi.waitFor(
        () => {
          if (!isHeard()) sandbox.receive({ ...chat, message: 'Is anybody there?' })
          expect(isHeard()).toBe(true)
        },
        { interval: 1_000, timeout: 40_000 },
      )
    receiver.answer = () => 503
    await eventually(async () => expect((await gateway.get('/webhooks')).json.items).toMatchObject([{ state: 'ok' }]))
    await askUntil(() => receiver.posts.length > 0)
    const logOf = ({ event }: (typeof receiver.posts)[number]) => event.id.slice(4, 12)
    const lost = receiver.posts.map(logOf)[0]
    receiver.answer = () => 204
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
    const found = () => receiver.posts.filter(post => logOf(post) !== lost).map(({ event }) => event)
    await askUntil(() => found().some(({ type }) => type === 'message.created'))

    const [first, ...rest] = found()
    expect(first).toMatchObject({ type: 'gap', reason: 'log-replaced', messageId: null })
    expect(rest.map(({ type }) => type)).not.toContain('gap')
  })
})

describe('the webhook routes', () => {
  test('answer 503 while the store is away, but a test what the endpoint answered', async ({ start, ledgerFile: file }) => {
    const { receiver, env } = await receiving()
    const onFile = { env: { ...env, STORE_URL: `sqlite:${file}` } }
    const delivers = await start(onFile)
    const isDelivering = async () => (await (await fetch(`${delivers.adminUrl}/metrics`)).text()).includes('gateway_webhook_up{')
    await eventually(async () => expect(await isDelivering()).toBe(true))
    const waits = await start(onFile)
    const { nextCursor: after } = (await delivers.get('/events')).json
    renameSync(file, `${file}.aside`)
    mkdirSync(file)
    await eventually(async () => expect((await delivers.get('/health/ready')).json.store).toBe('unavailable'))

    for (const answer of [
      await waits.get('/webhooks'),
      await delivers.get('/webhooks/default/deliveries'),
      await delivers.post('/webhooks/default/redrive', { after }),
      await delivers.post('/webhooks/default/redrive', { failed: true }),
    ]) {
      expect(answer).toMatchObject({ status: 503, json: { code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' } })
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
    }
    expect(await delivers.post('/webhooks/default/test', {})).toMatchObject({ status: 200, json: { status: 204 } })
    expect(receiver.posts.map(({ event }) => event.type)).toEqual(['test'])
    rmdirSync(file)
    renameSync(`${file}.aside`, file)
    await eventually(async () => expect((await delivers.get('/webhooks/default/deliveries')).status).toBe(200))
  })
})

describe('webhooks', () => {
  test('are those of the latest reload, also where an earlier one has to load them first', async ({ sandbox, start }) => {
    const { env } = await receiving()
    const gateway = await start({ alone: true })

    void gateway.reload(readConfig({ ...environment(sandbox), ...env }))
    void gateway.reload(readConfig(environment(sandbox)))
    await Promise.all([import('../../src/live/live.ts'), import('../../src/webhooks/webhooks.ts')]) // the first reload has them, too
    await gateway.get('/channels')

    await eventually(async () => expect((await gateway.get('/webhooks')).json).toEqual({ items: [] }))
    await gateway.reload(readConfig({ ...environment(sandbox), ...env }))
    await eventually(async () => expect((await gateway.get('/webhooks')).json.items).toMatchObject([{ name: 'default' }]))
  })

  test('and polls are free for another process once the gateway has drained', async ({ start, ledgerFile }) => {
    const { env } = await receiving()
    const STORE_URL = `sqlite:${ledgerFile}`
    const gateway = await start({ env: { ...env, STORE_URL } })
    const metrics = async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()
    await eventually(async () => expect(await metrics()).toMatch(/^gateway_webhook_up\{/m))
    await eventually(async () => expect(await metrics()).toMatch(/^gateway_events_channels_watched\{/m))
    const store = await openStore(STORE_URL, policy)
    onTestFinished(() => store.close())
    const taken = () => Promise.all(['poller default', 'webhook:default'].map(name => store.leases.acquire(name, 'another', 60_000)))
    expect(await taken()).toEqual([undefined, undefined])
    await gateway.drain()

    expect(await taken()).toEqual([expect.any(Number), expect.any(Number)])
  })

  const reader = 'fake-reader-key-0123456789'
  const limited = 'fake-limited-key-0123456789'

  test('are none without configuration, and need their scopes', async ({ start }) => {
    const gateway = await start({
      callers: {
        reader: { key: reader, scopes: ['webhooks:read'] },
        limited: { key: limited, chats: ['whatsapp/100/*'] },
      },
    })

    expect((await gateway.get('/webhooks')).json).toEqual({ items: [] })
    expect((await gateway.post('/webhooks/default/redrive', { failed: false })).json).toMatchObject({
      status: 400,
      code: 'invalid-request',
    })
    expect((await gateway.request('/webhooks', { key: reader })).status).toBe(200)
    for (const verb of ['test', 'redrive']) {
      const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"failed":true}' }
      expect((await gateway.request(`/webhooks/default/${verb}`, { ...post, key: reader })).json).toMatchObject({
        code: 'insufficient-scope',
      })
      expect((await gateway.request(`/webhooks/default/${verb}`, { ...post, key: limited })).json).toMatchObject({
        code: 'webhook-not-found',
      })
    }
    for (const path of ['/webhooks', '/webhooks/default/deliveries'])
      expect((await gateway.request(path, { key: limited })).json).toMatchObject({ status: 404, code: 'webhook-not-found' })
  })
})
