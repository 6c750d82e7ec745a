import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { environment, readAnswers, test } from '../gateway.ts'
import { blocksOf } from '../live/delivery.ts'
import { openStream, watching } from '../live/streaming.ts'

const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }
const chat = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const accept = { accept: 'text/event-stream' }
const soon = { timeout: 40_000, interval: 50 }

/** The content of chunks; throws unless they are whole. */
function dechunk(body: string): string {
  const [, size = '', rest = ''] = /^([0-9a-f]+)\r\n(.*)$/s.exec(body) ?? []
  const length = Number.parseInt(size, 16)
  if (rest.slice(length, length + 2) !== '\r\n') throw new Error(`this is no chunk: ${body}`)
  return length === 0 ? '' : rest.slice(0, length) + dechunk(rest.slice(length + 2))
}

describe('GET /events', () => {
  test('gives a stream each message as soon as it is found, and its past to a list', async ({ start, sandbox }) => {
    const gateway = await start({ env: { ...env, CORS_ORIGINS: 'https://app.example.com' } })
    await watching(gateway)
    const stream = openStream(gateway)
    await expect.poll(() => stream.blocks()).toEqual([{ retry: '3000', id: expect.any(String) }])
    const waiting = gateway.get(`/events?wait=30&after=${stream.blocks()[0]?.id}`)
    const messageId = sandbox.receive({ ...chat, message: 'Hello\nthere' })

    await expect
      .poll(() => stream.blocks()[1], soon)
      .toMatchObject({ event: 'message.created', data: { messageId, direction: 'in', message: { message: 'Hello\nthere' } } })
    expect(stream.head.toLowerCase()).toContain('content-type: text/event-stream')
    for (const header of ['cache-control: no-store', 'vary: Accept, Authorization, Origin', 'x-accel-buffering: no'])
      expect(stream.head).toContain(header)
    const { status, headers, json } = await waiting
    expect([status, json.items]).toEqual([200, [stream.blocks()[1]?.data]])
    expect(json.nextCursor).toBe(stream.blocks()[1]?.id)
    expect(headers).toMatchObject({ 'cache-control': 'no-store', vary: 'Accept, Authorization, Origin' })
    expect(headers.etag).toBeUndefined()
    expect((await gateway.get('/events')).json.items).toEqual(json.items)
    expect(await (await fetch(`${gateway.adminUrl}/metrics`)).text()).toContain(
      'gateway_events_delivery_seconds_count{account="default"} 1',
    )
    stream.socket.destroy()

    const resumed = openStream(gateway, { 'last-event-id': String(stream.blocks()[0]?.id) }, `?after=${json.nextCursor}`)
    await expect.poll(() => resumed.blocks()[1]?.id, soon).toBe(json.nextCursor)
    const anew = openStream(gateway, { 'last-event-id': '' }, `?after=${stream.blocks()[0]?.id}`)
    await expect.poll(() => anew.blocks()[1]?.id, soon).toBe(json.nextCursor)

    const drained = gateway.drain()
    await expect.poll(() => [resumed.ended, anew.ended], soon).toEqual([true, true])
    expect(resumed.blocks().at(-1)).toEqual({ retry: '1000' })
    expect(await drained).toBe(true)
  })

  test('is filtered by a recipient as an event names it, or by a WhatsApp number in any spelling', async ({ start, sandbox }) => {
    const gateway = await start({ env: { ...env, EVENTS_CHANNELS: 'whatsapp/100,telegram/200' } })
    await watching(gateway)
    const formatted = '+34 699-999-999'
    const telegram = { platform: 'telegram', platformid: '200', destination: formatted }
    const ids = [{ ...chat, destination: '34699999999' }, telegram, chat].map(to => sandbox.receive({ ...to, message: 'Hello' }))

    const idsOf = async (query: string) =>
      (await gateway.get(`/events${query}`)).json.items.map((event: { messageId: string }) => event.messageId).sort()
    await expect.poll(() => idsOf(''), soon).toEqual(ids.toSorted())
    expect(await idsOf(`?destination=${encodeURIComponent(formatted)}`)).toEqual(ids.slice(0, 2).sort())
    expect(await idsOf(`?platform=telegram&destination=${encodeURIComponent(formatted)}`)).toEqual(ids.slice(1, 2))
    expect(await idsOf('?destination=34699999999')).toEqual(ids.slice(0, 1))
    expect(await idsOf('?platformId=200')).toEqual(ids.slice(1, 2))
  })

  test('answers headers at once to HEAD, refuses what is no cursor, and wants a stream to be preferred', async ({ start }) => {
    const gateway = await start({
      env,
      accounts: { other: {} },
      callers: { quiet: { key: 'fake-key-of-another-account-1', account: 'other' } },
    })
    const { json } = await gateway.get('/events')
    const places = async (path: string, headers = {}) =>
      (await gateway.get(path, headers)).json.errors?.map((error: { in: string; pointer: string }) => `${error.in}${error.pointer}`)

    for (const [headers, type] of [
      [{}, 'application/json'],
      [accept, 'text/event-stream'],
      [{ accept: 'application/json, text/event-stream;q=0.9' }, 'application/json'],
      [{ accept: 'text/event-stream, */*;q=0.1' }, 'text/event-stream'],
      [{ accept: '*/*' }, 'application/json'],
      [{ accept: 'text/event-stream;q=0, */*' }, 'application/json'],
      [{ accept: 'TEXT/Event-Stream; charset=utf-8' }, 'text/event-stream'],
    ] as const) {
      const head = await gateway.request('/events?wait=30', { method: 'HEAD', headers })
      expect([head.status, String(head.headers['content-type']).split(';')[0], head.text]).toEqual([200, type, ''])
    }
    for (const cursor of ['x', '', `${json.nextCursor}!`, json.nextCursor.replace(/^./, '_')])
      expect(await places(`/events?after=${cursor}`)).toEqual(['query/after'])
    expect(await places('/events', { ...accept, 'last-event-id': 'x' })).toEqual(['header/Last-Event-ID'])
    expect((await gateway.get('/events', { 'last-event-id': 'x' })).status, 'it belongs to streams').toBe(200)
    for (const query of ['limit=0', 'limit=201', 'wait=31', 'type=message', 'platform=fax', 'afer=x'])
      expect((await gateway.get(`/events?${query}`)).status, query).toBe(400)
    const other = await gateway.request('/events', { key: 'fake-key-of-another-account-1' })
    expect([other.status, other.json.items]).toEqual([200, []])
    expect((await gateway.request(`/events?after=${json.nextCursor}`, { key: 'fake-key-of-another-account-1' })).status).toBe(400)
  })

  test('is refused for accounts without events and for keys without the scope', async ({ start, sandbox }) => {
    const gateway = await start({ callers: { sender: { key: 'fake-key-that-may-only-send', scopes: ['messages:send'] } } })

    for (const headers of [{}, accept]) {
      const { status, json } = await gateway.get('/events', headers)
      expect([status, json.code, json.retry]).toEqual([501, 'events-not-enabled', 'no'])
    }
    expect((await gateway.request('/events', { key: 'fake-key-that-may-only-send' })).json.code).toBe('insufficient-scope')
    gateway.reload(readConfig({ ...environment(sandbox), ...env }))
    await expect.poll(async () => (await gateway.get('/events')).status, soon).toBe(200)
  })

  test('shows what it has in memory while Afilnet cannot be read', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    await watching(gateway)
    sandbox.receive({ ...chat, message: 'Hello' })
    await expect.poll(async () => (await gateway.get('/events')).json.items?.length, soon).toBe(1)
    await sandbox.close()

    expect((await gateway.get('/events')).json.items, 'its text is in memory').toHaveLength(1)
  })

  test('answers the problem of the read after a restart, and null for a message that is gone', async ({ start, sandbox, ledgerFile }) => {
    const onFile = { env: { ...env, STORE_URL: `sqlite:${ledgerFile}` } }
    const first = await start(onFile)
    await watching(first)
    const ids = ['Hello', 'Remove me'].map(message => sandbox.receive({ ...chat, message }))
    await expect.poll(async () => (await first.get('/events')).json.items?.length, soon).toBe(2)
    const [{ id }] = (await first.get('/events?limit=1')).json.items
    await first.drain()
    sandbox.remove(chat, String(ids[1]))
    sandbox.answer({ status: 500, method: 'getmessages', times: 4 })
    const second = await start(onFile)
    const stream = openStream(second, { 'last-event-id': String(id) })

    expect(await second.get(`/events?after=${id}`)).toMatchObject({ status: 502, json: { code: 'upstream-error', outcome: 'not_applied' } })
    await expect
      .poll(async () => (await second.get('/events')).json.items, soon)
      .toMatchObject([
        { messageId: ids[0], message: { message: 'Hello' } },
        { messageId: ids[1], message: null },
      ])
    await expect.poll(() => stream.blocks()[1]?.data, soon).toMatchObject({ messageId: ids[1], message: null })
    stream.socket.destroy()
  })

  test('gives null for the messages of a channel that is gone, and goes on with those of others', async ({
    start,
    sandbox,
    ledgerFile,
  }) => {
    const channels = 'telegram/200,whatsapp/100'
    const onFile = { env: { ...env, EVENTS_CHANNELS: channels, STORE_URL: `sqlite:${ledgerFile}` } }
    const first = await start(onFile)
    const { nextCursor } = (await first.get('/events')).json
    // The first look at a channel makes no events, so the customer asks until one is heard.
    for (const address of [{ ...chat, platform: 'telegram', platformid: '200' }, chat]) {
      const heard = async () => {
        sandbox.receive({ ...address, message: 'Hello' })
        return (await first.get(`/events?platform=${address.platform}`)).json.items.length
      }
      await expect.poll(heard, { timeout: 40_000, interval: 1_000 }).toBeGreaterThan(0)
    }
    await first.drain()
    sandbox.removeChannel('telegram', '200')
    const second = await start(onFile)
    const { status, json } = await second.get('/events')
    const stream = openStream(second, { 'last-event-id': nextCursor })

    expect(status).toBe(200)
    expect(json.items[0]).toMatchObject({ platform: 'telegram', message: null })
    const ofOthers = json.items.filter(({ platform }: { platform: string }) => platform === 'whatsapp')
    expect(ofOthers[0]).toMatchObject({ message: { message: 'Hello' } })
    await expect.poll(() => stream.blocks().map(({ id }) => id), soon).toContain(ofOthers[0].id)
    stream.socket.destroy()
  })

  test('bounds the streams of a key, and ends them when a reload changes it or when it expires', async ({ start, sandbox }) => {
    const shop = { key: 'fake-key-of-a-shop-0123456', rateLimit: { streams: 1 } }
    const short = { key: 'fake-key-that-ends-01234567', expires: new Date(Date.now() + 3_600_000).toISOString() }
    const gateway = await start({ env, callers: { shop, short } })
    const as = ({ key }: { key: string }) => ({ authorization: `Bearer ${key}` })
    const streams = [openStream(gateway, as(shop)), openStream(gateway, as(short)), openStream(gateway)]
    for (const { blocks } of streams) await expect.poll(blocks, soon).toHaveLength(1)

    for (const [path, headers] of [
      ['/events', accept],
      ['/events?wait=1', {}],
    ] as const) {
      const refused = await gateway.request(path, { key: shop.key, headers })
      expect(refused, path).toMatchObject({
        status: 429,
        json: { code: 'too-many-streams', retry: 'yes' },
        headers: { 'retry-after': '5' },
      })
    }
    expect((await gateway.request('/events', { key: shop.key })).status).toBe(200)
    const { now } = Date
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000)
    onTestFinished(() => void vi.restoreAllMocks())
    await expect.poll(() => streams.map(({ ended }) => ended), soon).toEqual([false, true, false])
    gateway.reload(readConfig({ ...environment(sandbox), ...env }))
    await expect.poll(() => streams.map(({ ended }) => ended), soon).toEqual([true, true, false])
    for (const { socket } of streams) socket.destroy()
  })

  test('holds no place for a caller that has left, be it while its stream was opened', async ({ start, ledgerFile }) => {
    const shop = { key: 'fake-key-of-a-shop-0123456', rateLimit: { streams: 1 } }
    const gateway = await start({ env: { ...env, STORE_URL: `sqlite:${ledgerFile}` }, callers: { shop } })
    /** Each leaves a turn of the event loop later than the one before: some of them while the ledger is read for their streams. */
    const leaveAfter = (turns: number, socket: Socket): unknown =>
      turns > 0 ? setImmediate(leaveAfter, turns - 1, socket) : socket.resetAndDestroy()
    for (let turns = 0; turns < 40; turns++) {
      const { socket } = openStream(gateway)
      socket.once('connect', () => leaveAfter(turns, socket))
      await once(socket, 'close')
    }
    await gateway.get('/events') // it waits for the ledger, as they did
    const metrics = async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()
    await expect.poll(metrics).toContain('gateway_events_streams{account="default"} 0')
    expect(await metrics(), 'a drain waits for these').toContain('gateway_requests_in_flight 0')

    const wait = async () => (await gateway.request('/events?wait=1', { key: shop.key })).status
    const { socket } = openStream(gateway, { authorization: `Bearer ${shop.key}`, accept: 'application/json' }, '?wait=30')
    await expect.poll(metrics).toContain('gateway_requests_in_flight 1')
    await gateway.get('/events')
    expect(await wait()).toBe(429)
    socket.destroy()
    await expect.poll(wait, { timeout: 10_000 }).toBe(200)
  })

  test('frames a stream behind another answer of its connection, and not at all for HTTP/1.0', async ({ start, sandbox }) => {
    const shop = { key: 'fake-key-of-a-shop-0123456' }
    const gateway = await start({ env, callers: { shop } })
    await watching(gateway)
    const ask = (version: string, target: string, ...fields: string[]) =>
      [`GET ${target} HTTP/${version}`, 'Host: gateway', `Authorization: Bearer ${shop.key}`, ...fields, '\r\n'].join('\r\n')
    const sse = 'Accept: text/event-stream'
    const ways = {
      pipelined: ask('1.1', '/events?wait=30') + ask('1.1', '/events', sse, 'Connection: close'),
      unframed: ask('1.0', '/events', sse),
    }
    const said = { pipelined: '', unframed: '' }
    const closed = Object.entries(ways).map(([way, requests]) => {
      const socket = gateway.open().setEncoding('utf8')
      socket.on('data', text => {
        said[way as keyof typeof ways] += text
      })
      socket.write(requests)
      return once(socket, 'close')
    })
    const metrics = async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()
    await expect.poll(metrics, soon).toContain('gateway_events_streams{account="default"} 2')
    const messageIds: string[] = []
    for (const message of ['Hello', 'Are you there?']) {
      messageIds.push(sandbox.receive({ ...chat, message }))
      for (const text of [() => said.pipelined, () => said.unframed])
        await expect.poll(() => text().match(/event: message.created/g), soon).toHaveLength(messageIds.length)
    }
    gateway.reload(readConfig({ ...environment(sandbox), ...env })) // the shop is no caller any more
    await Promise.all(closed)

    const [list, stream = ''] = said.pipelined.split(/(?=HTTP\/1\.1 200 OK)/)
    expect(readAnswers(String(list))[0]?.json.items).toMatchObject([{ messageId: messageIds[0] }])
    const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4)
    const eventsOf = (body: string) => blocksOf(body).filter(({ event }) => event !== undefined)
    const events = eventsOf(bodyOf(said.unframed))
    expect(events).toMatchObject(messageIds.map(messageId => ({ event: 'message.created', data: { messageId } })))
    expect(eventsOf(dechunk(bodyOf(stream)))).toEqual(events)
    for (const body of [bodyOf(said.unframed), dechunk(bodyOf(stream))]) expect(body).not.toContain('\r') // of a chunk
  })

  test('does not keep a stream that nobody reads, nor cut one that is quiet', async ({ start }) => {
    const gateway = await start({ env, timeouts: { readerMs: 100, checkEveryMs: 20, headersMs: 200, requestMs: 200 } })
    const stream = openStream(gateway)
    await expect.poll(() => stream.blocks()).toHaveLength(1)
    const [first] = await Promise.all([gateway.get('/events?wait=1'), gateway.get('/events?wait=1')])

    expect(first.status).toBe(200)
    expect(stream.ended).toBe(false)
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    expect(metrics).toContain('gateway_events_streams{account="default"} 1')
    stream.socket.destroy()
    await gateway.logged(({ route }) => route === '/events')
  })
})
