import { hash } from 'node:crypto'
import { describe, expect, onTestFinished } from 'vitest'
import { scopes } from '../../src/access.ts'
import { readConfig } from '../../src/config/config.ts'
import { calls } from '../afilnet/calls.ts'
import { canaries, environment, hold, test } from '../gateway.ts'
import { openStream, watching } from '../live/streaming.ts'
import { secret, startReceiver } from '../webhooks/receiver.ts'

const own = { platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Hello' }
const list = (...rows: object[]) => JSON.stringify({ status: 'SUCCESS', result: { list: rows } })
const limited = { key: 'a_key_that_is_limited_to_some_chats', chats: ['whatsapp/100/34600000000', 'whatsapp/100/*'] }
const reads = ['getchats', 'getmessages', 'getunreadmessages'] as const

describe('a row of another chat', () => {
  const foreign: [field: string, row: object][] = [
    ['platform', { platform: 'telegram' }],
    ['platform', { platform: '' }],
    ['platformId', { platformid: '101' }],
    ['platformId', { platformid: 9_007_199_254_740_991 }],
    ['platformId', { platformid: { id: '100' } }],
    ['destination', { destination: '34600000001' }],
    ['destination', { destination: '0034600000000' }],
    ['destination', { destination: false }],
  ]

  test.for(foreign)('by its %s is not delivered: %j', async ([field, other], { gateway, sandbox }) => {
    sandbox.answer({ body: list(own, { ...own, ...other, message: 'not yours' }) })

    const { status, json, text } = await calls.getmessages(gateway)

    expect({ status, code: json.code, outcome: json.outcome }).toEqual({
      status: 502,
      code: 'upstream-invalid-response',
      outcome: 'not_applied',
    })
    expect(json.detail).toContain(` ${field} `)
    expect(text).not.toContain('not yours')
    expect(gateway.log.find(line => 'field' in line)).toMatchObject({ level: 50, account: 'default', operation: 'getmessages', field })
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    expect(metrics).toContain('gateway_upstream_foreign_rows_total{account="default"} 1')
  })

  test.for(reads)('is refused from %s, and the next answer is read', async (method, { gateway, sandbox }) => {
    sandbox.answer({ method, body: list({ ...own, platformid: '7' }) })

    expect((await calls[method](gateway)).json.code).toBe('upstream-invalid-response')
    expect((await calls[method](gateway)).status).toBe(200)
  })

  test('is found in a large answer too', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: list(...Array(2_000).fill(own), { ...own, destination: '34600000001' }) })

    const { json } = await calls.getmessages(gateway)

    expect(json).toMatchObject({ code: 'upstream-invalid-response', detail: expect.stringContaining('destination') })
  })
})

describe('a row of the chat asked for', () => {
  const same = [
    { platform: ' WhatsApp ', platformid: ' 100', destination: '34600000000\n' },
    { platformid: 100, destination: 34600000000 },
    { destination: '+34 600-00 00.00' },
    { platform: null, platformid: null, destination: null },
    { platform: undefined, platformid: undefined, destination: undefined },
  ]

  test.for(same)('may be written as %j', async (spelling, { gateway, sandbox }) => {
    sandbox.answer({ body: list({ ...own, ...spelling }) })

    const { status, json } = await calls.getmessages(gateway)

    expect({ status, items: json.items?.length }).toEqual({ status: 200, items: 1 })
  })

  test('may have any destination in a list of conversations', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: list(own, { ...own, destination: '34600000001' }) })

    expect((await calls.getchats(gateway)).json.items).toHaveLength(2)
  })
})

describe('AFILNET_ROWS=destination-open', () => {
  const env = { AFILNET_ROWS: 'destination-open' }
  const body = list(own, { ...own, destination: 'the same person, by another name' })
  const path = '/chats/whatsapp/100/34600000000/messages'

  test('lets rows name another destination, but only for a caller without `chats`', async ({ start, sandbox }) => {
    const gateway = await start({ env, callers: { limited } })
    sandbox.answer({ body, times: 4 })

    for (const read of [path, path.replace('messages', 'unread')]) {
      expect((await gateway.request(read)).json.items).toHaveLength(2)
      expect((await gateway.request(read, { key: limited.key })).json.code).toBe('upstream-invalid-response')
    }
  })

  test.for([
    ['everything', [200, 502]],
    ['one chat', [502, 200]],
  ] as const)('shares no call between callers of both kinds: the first may read %s', async ([mayRead, statuses], { start, sandbox }) => {
    const gateway = await start({ env, callers: { limited } })
    const release = hold(sandbox, { body })
    sandbox.answer({ body })
    const open = { key: canaries.key }
    const [one, other] = mayRead === 'everything' ? [open, limited] : [limited, open]
    const first = gateway.request(path, { key: one.key })
    await sandbox.called(1)

    const second = await gateway.request(path, { key: other.key })
    release()

    expect([(await first).status, second.status]).toEqual(statuses)
    expect(sandbox.calls).toHaveLength(2)
  })

  test('tells consumers of certain chats of such a row, but not what is in it', async ({ start, sandbox }) => {
    const receiver = await startReceiver()
    onTestFinished(receiver.close)
    const watched = { ...env, EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }
    const gateway = await start({ env: watched })
    const config = readConfig({ ...environment(sandbox), ...watched })
    const { chats } = limited
    await gateway.reload({
      ...config,
      callers: { ...config.callers, limited: { keySha256: [hash('sha256', limited.key)], account: 'default', scopes: [...scopes], chats } },
      webhooks: { limited: { url: new URL(receiver.url), secrets: [secret], account: 'default', chats } },
    })
    await watching(gateway)
    await expect.poll(async () => (await gateway.get('/webhooks')).json.items).toHaveLength(1)
    const { nextCursor } = (await gateway.get('/events')).json
    const stream = openStream(gateway, { authorization: `Bearer ${limited.key}` })
    onTestFinished(() => void stream.socket.destroy())
    await expect.poll(() => stream.blocks()).toHaveLength(1)
    const foreign = { ...own, messageid: '9', destination: '34600000001', message: 'not yours' }
    sandbox.answer({ method: 'getmessages', body: list(own, foreign), times: 99 })
    sandbox.receive(own)
    const messages = async (key: string) => {
      const { items } = (await gateway.request('/events?wait=30', { key })).json
      return Object.fromEntries(items.map(({ messageId, message }: Record<string, string | object>) => [messageId, message]))
    }

    expect(await messages(canaries.key)).toMatchObject({ 9: { message: 'not yours' } })
    expect(await messages(limited.key)).toMatchObject({ 9: null })
    await expect.poll(() => stream.text).toContain('"messageId":"9"')
    await gateway.post('/webhooks/limited/redrive', { after: nextCursor })
    await expect.poll(() => receiver.taken).toContain('9')
    expect(stream.text + JSON.stringify(receiver.posts)).not.toContain('not yours')
    expect(stream.text).toContain('"message":"Hello"')
  })

  test('still compares the platform and the channel', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    sandbox.answer({ body: list({ ...own, platformid: '7' }) })

    expect((await gateway.request(path)).json.code).toBe('upstream-invalid-response')
  })
})
