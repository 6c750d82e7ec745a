import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { describe, expect } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { canaries, environment, type TestGateway, test } from '../gateway.ts'
import { watching } from './streaming.ts'

const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }

async function scrape({ adminUrl }: TestGateway, name: string) {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return text
    .split('\n')
    .find(line => line.startsWith(name))
    ?.slice(name.length + 1)
}

describe('A gateway that watches channels', () => {
  test('counts what it finds, until a reload watches none', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    await watching(gateway)
    sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Hello' })

    await expect.poll(() => scrape(gateway, 'gateway_events_total{account="default",type="message.created"}')).toBe('1')
    expect(await scrape(gateway, 'gateway_events_channels_watched{account="default"}')).toBe('1')

    gateway.reload(readConfig(environment(sandbox)))
    await gateway.logged(({ msg }) => msg === 'polling for events ended')
  })

  test('finds out what became of an unknown send, and tells its caller', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    await watching(gateway)
    sandbox.answer({ fault: 'drop', method: 'sendmessage' }) // it takes the message, and its answer is lost
    const send = () => gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Did it arrive?' }, { 'idempotency-key': 'k' })
    const { status, json } = await send()
    expect([status, json.outcome]).toEqual([502, 'unknown'])

    const find = async () => (await gateway.get(`/sends/${json.sendId}`)).json
    await expect.poll(find).toMatchObject({ state: 'accepted', settledBy: 'read-back' })
    const settled = await find()
    const { items } = (await gateway.get('/events?type=message.created')).json
    expect(items).toMatchObject([{ direction: 'out', messageId: settled.messageId, message: { message: 'Did it arrive?' } }])
    expect(settled.delivery).toEqual({ status: items[0].message.status, at: expect.any(String) })
    const updates = (await gateway.get('/events?type=send.updated&wait=5')).json.items
    expect(updates.at(-1)).toMatchObject({
      messageId: settled.messageId,
      send: { id: json.sendId, state: 'accepted', settledBy: 'read-back' },
    })
    expect((await send()).status).toBe(201)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('asks Afilnet nothing unless an account names channels', async ({ gateway, sandbox }) => {
    await gateway.get('/health/ready')

    expect(sandbox.calls).toEqual([])
    expect(await scrape(gateway, 'gateway_events_total')).toBe(undefined)
  })
})

test('A reload that names the time zone of an account has its unknown sends looked for', async ({ start, sandbox }) => {
  const gateway = await start()
  sandbox.answer({ fault: 'reset', method: 'sendmessage' })
  const { json } = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Did it arrive?' })
  expect(json.outcome).toBe('unknown')
  const row = { platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Did it arrive?', sent: true }
  const datetime = new Date(Date.now() + 5_000).toISOString().slice(0, 19).replace('T', ' ')
  sandbox.receive({ ...row, datetime }) // young enough to be no earlier message

  gateway.reload(readConfig({ ...environment(sandbox), AFILNET_TIMEZONE: 'UTC' }))

  const find = async () => (await gateway.get(`/sends/${json.sendId}`)).json
  await expect.poll(find).toMatchObject({ state: 'accepted', settledBy: 'read-back' })
})

test('The consumer of docs/events.md goes on whatever a proxy answers, and handles what it missed', async ({ start, sandbox }) => {
  const gateway = await start({ env })
  await watching(gateway)
  sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Are you open?' })
  const doc = readFileSync(join(import.meta.dirname, '../../docs/events.md'), 'utf8')
  const program = stripTypeScriptTypes(/^ {4}\/\/ Reads every event.*?^ {4}\}$/ms.exec(doc)?.[0] ?? '')
  const page = (status: number, headers = {}) => new Response('<html>', { status, headers })
  const faults = [page(503, { 'retry-after': 'Sat, 28 Nov 2026 16:00:00 GMT' }), page(502, { 'retry-after': '7' }), page(200), undefined]
  const [waits, handled]: [number[], string[]] = [[], []]
  let cursor = ''

  const run: Promise<void> = runInNewContext(`(async () => {${program}})()`, {
    process: { env: { GATEWAY_URL: gateway.url, GATEWAY_KEY: canaries.key } },
    console: { log: (...words: string[]) => handled.push(words.join(' ')), error: () => {} },
    setTimeout: (resolve: () => void, ms: number) => waits.push(ms) && resolve(),
    fetch: async (url: string, init: object) =>
      faults.length > 0 ? (faults.shift() ?? Promise.reject(new TypeError('fetch failed'))) : fetch(url, init),
    readFileSync: () => cursor,
    writeFileSync: (_: string, text: string) => {
      cursor = text
    },
    renameSync: () => {
      if (handled.length > 0) throw new Error('killed')
    },
  })

  await expect(run).rejects.toThrow('killed')
  expect(handled).toEqual(['message.created Are you open?'])
  expect(waits).toEqual([1_000, 7_000, 1_000, 1_000])
  expect((await gateway.get(`/events?after=${cursor}`)).json.items).toEqual([])
})
