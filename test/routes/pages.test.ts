import { describe, expect } from 'vitest'
import { hold, requestsInFlight, sharedTest as test } from '../gateway.ts'

const messages = '/chats/whatsapp/100/34600000000/messages'
const chats = '/chats/whatsapp/100'
const ids = (reply: { json: { items: { messageId: string }[] } }) => reply.json.items.map(({ messageId }) => messageId)

const rows = Array.from({ length: 70 }, (_, i) => ({
  platform: 'whatsapp',
  platformid: '100',
  destination: '34600000000',
  messageid: String(1 + i),
  message: `Message ${1 + i}`,
  sent: i % 2,
  status: 'read',
  datetime: `2026-01-31 09:${String(Math.floor(i / 2)).padStart(2, '0')}:00`,
}))
const list = (items: object[]) => JSON.stringify({ status: 'SUCCESS', result: { list: items } })
const count = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

describe('GET …/messages by pages', () => {
  test('gives fifty of the newest unless the query says how many', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', times: 9, body: list(rows.toReversed()) })

    expect(ids(await gateway.get(`${messages}?limit=3`))).toEqual(['68', '69', '70'])
    expect(ids(await gateway.get(`${messages}?before=70`))).toEqual(count(20, 69))
    expect(ids(await gateway.get(`${messages}?after=4&limit=200`))).toEqual(count(5, 70))
    expect(ids(await gateway.get(messages))).toEqual(count(1, 70).toReversed())
  })

  test('leads on with cursors, which stay good when their message has gone', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', times: 2, body: list(rows) })
    const newest = await gateway.get(`${messages}?limit=2`)
    const older = await gateway.get(`${messages}?limit=2&before=${newest.json.previousCursor}`)
    sandbox.answer({
      method: 'getmessages',
      times: 2,
      body: list(rows.filter(({ messageid }) => messageid !== '69' && messageid !== '68')),
    })

    expect([newest.json.previousCursor, older.json.nextCursor, older.json.previousCursor]).toEqual(
      Array(3).fill(expect.stringMatching(/^c_[\w-]+$/)),
    )
    expect(newest.json).not.toHaveProperty('nextCursor')
    expect(ids(older)).toEqual(['67', '68'])
    expect(ids(await gateway.get(`${messages}?limit=2&before=${newest.json.previousCursor}`))).toEqual(['66', '67'])
    expect(ids(await gateway.get(`${messages}?after=${older.json.nextCursor}`))).toEqual(['70'])
  })

  test.for([
    ['a messageId that the list does not have', 'before=4711', 410, 'cursor-gone'],
    ['one that begins like a cursor', 'before=c4711', 410, 'cursor-gone'],
    ['both directions', 'before=1001&after=1002', 400, 'invalid-request'],
    ['half a cursor', 'before=c_', 400, 'invalid-request'],
    ['nonsense as a cursor', 'after=c_nonsense', 400, 'invalid-request'],
    ['a cursor with more in it', `after=c_${Buffer.from('["a",null,0,1,2]').toString('base64url')}`, 400, 'invalid-request'],
    ['a cursor with odd values', `after=c_${Buffer.from('["a",7,0,1]').toString('base64url')}`, 400, 'invalid-request'],
    ['an empty place', 'before=', 400, 'invalid-request'],
    ['a place twice', 'before=1001&before=1002', 400, 'invalid-request'],
    ['no rows', 'limit=0', 400, 'invalid-request'],
    ['too many rows', 'limit=201', 400, 'invalid-request'],
    ['half a row', 'limit=1.5', 400, 'invalid-request'],
    ['an unknown parameter', 'limt=5', 400, 'invalid-request'],
  ] as const)('refuses %s', async ([, query, status, code], { gateway }) => {
    const reply = await gateway.get(`${messages}?${query}`)

    expect(reply).toMatchObject({ status, json: { code, outcome: 'not_applied', retry: 'no' } })
  })

  test('asks Afilnet nothing for a query that cannot be served', async ({ gateway, sandbox }) => {
    await gateway.get(`${messages}?before=c_nonsense`)

    expect(sandbox.calls).toEqual([])
  })

  test('shares one call to Afilnet among all pages of a conversation and the whole list', async ({ gateway, sandbox }) => {
    const release = hold(sandbox, { method: 'getmessages', body: list(rows) })
    const pages = ['', '?limit=1', '?limit=2', '?before=5', '?after=68'].map(query => gateway.get(messages + query))
    await expect.poll(() => requestsInFlight(gateway)).toBe(5)
    release()
    const replies = await Promise.all(pages)

    expect(replies.map(reply => reply.json.items.length)).toEqual([70, 1, 2, 4, 2])
    expect(sandbox.calls).toHaveLength(1)
  })

  test('has an ETag of the page', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', times: 2, body: list(rows) })
    const page = await gateway.get(`${messages}?limit=2&before=5`)
    const other = await gateway.get(`${messages}?limit=2&before=6`)
    sandbox.answer({
      method: 'getmessages',
      times: 2,
      body: list([...rows, { ...rows[0], messageid: '71', datetime: '2026-01-31 23:00:00' }]),
    })
    const same = await gateway.get(`${messages}?limit=2&before=5`, { 'if-none-match': String(page.headers.etag) })
    const head = await gateway.request(`${messages}?limit=2&before=5`, { method: 'HEAD' })

    expect(page.headers).toMatchObject({ etag: expect.stringMatching(/^"/), 'cache-control': 'private, no-cache', vary: 'Authorization' })
    expect(other.headers.etag).not.toBe(page.headers.etag)
    expect(same).toMatchObject({ status: 304, text: '' }) // what came meanwhile is not in this page
    expect(head.headers).toMatchObject({ etag: page.headers.etag, 'content-length': page.headers['content-length'] })
  })
})

describe('GET /chats/{platform}/{platformId} by pages', () => {
  test('orders conversations by their last message', async ({ gateway }) => {
    const newest = await gateway.get(`${chats}?limit=1`)
    const older = await gateway.get(`${chats}?limit=1&before=${newest.json.previousCursor}`)

    expect(newest.json.items).toMatchObject([{ destination: '34600000000', message: 'I can come at seven' }])
    expect(older.json.items).toMatchObject([{ destination: '34600000001' }])
    expect(older.json).toMatchObject({ nextCursor: expect.stringMatching(/^c_/) })
    expect(older.json).not.toHaveProperty('previousCursor')
  })

  test('takes no messageId', async ({ gateway }) => {
    expect(await gateway.get(`${chats}?before=1001`)).toMatchObject({ status: 400, json: { code: 'invalid-request' } })
  })
})

describe('direction', () => {
  test('reads what Afilnet calls sent', async ({ gateway, sandbox }) => {
    const sent = [1, '1', true, 'TRUE', 0, '0', false, 'False', null, 'yes', 2]
    sandbox.answer({ method: 'getmessages', body: list(sent.map(value => ({ sent: value }))) })
    sandbox.answer({ method: 'getunreadmessages', body: list([{ issent: '0' }]) })

    const read = await gateway.get(messages)
    const unread = await gateway.get('/chats/whatsapp/100/34600000000/unread')

    const [out, inward] = [Array(4).fill('out'), Array(4).fill('in')]
    expect(read.json.items.map(({ direction }: { direction: unknown }) => direction)).toEqual([...out, ...inward, null, null, null])
    expect(unread.json.items).toMatchObject([{ sent: false, direction: 'in' }])
  })

  test('is null with AFILNET_SENT=ignore', async ({ start }) => {
    const gateway = await start({ env: { AFILNET_SENT: 'ignore' } })
    const { json } = await gateway.get(messages)

    expect(json.items.map(({ direction }: { direction: unknown }) => direction)).toEqual([null, null, null])
    expect(json.items.map(({ sent }: { sent: unknown }) => sent)).toEqual([true, false, false])
  })
})
