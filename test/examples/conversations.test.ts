import { expect, onTestFinished, vi } from 'vitest'
import { createClient } from '../../client/src/client.ts'
import { createConversations, type Event, keyOf } from '../../examples/inbox/page/conversations.ts'
import { shortTime } from '../../examples/inbox/page/times.ts'
import { startInbox } from '../../examples/inbox/server/inbox.ts'
import { listConversations } from '../../examples/inbox/server/lists.ts'
import { canaries, test } from '../gateway.ts'

test('A list that is read again keeps a conversation of a channel that the key may not list', async ({ start }) => {
  const key = 'fake-key-of-an-inbox-012345'
  const gateway = await start({ callers: { some: { key, chats: ['whatsapp/100/*', 'telegram/200/34*'] } } })
  const inbox = await startInbox({ key })
  onTestFinished(() => inbox.close())
  await inbox.connect(gateway.url)
  const { fetch } = globalThis
  vi.stubGlobal('fetch', (path: string, init: RequestInit) => fetch(new URL(path, inbox.url), init)) // as in the page of the inbox
  onTestFinished(() => void vi.unstubAllGlobals())
  const conversations = createConversations(() => {})
  const written = (chat: object) => ({ type: 'message.created', direction: 'in', message: { message: 'Hello' }, ...chat }) as Event
  const limited = { platform: 'telegram', platformId: '200', destination: '34600000001' }
  const gone = { platform: 'whatsapp', platformId: '100', destination: '34699999999' }
  for (const chat of [limited, gone]) conversations.apply(written(chat), undefined)

  await conversations.load()

  expect(conversations.get(keyOf(limited))).toMatchObject({ unread: 1 })
  expect(conversations.get(keyOf(gone))).toBeUndefined()
})

test('A list that is read again keeps what an event brought meanwhile, and what was not read by anyone', async () => {
  const row = (destination: string, datetime: string, message = 'listed') => ({ destination, datetime, message })
  const at = ({ destination, ...last }: ReturnType<typeof row>) => ({ platform: 'whatsapp', platformId: '100', destination, last })
  const written = (of: ReturnType<typeof row>, more = {}) =>
    ({ type: 'message.created', direction: 'in', message: of, ...(at(of) as object), ...more }) as Event
  let meanwhile = () => {}
  let items: ReturnType<typeof at>[] = []
  vi.stubGlobal('fetch', async () => {
    meanwhile()
    return Response.json({ items, unlisted: [] })
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  const conversations = createConversations(() => {})
  const shown = () => conversations.sorted().map(({ destination, last, unread }) => [destination, last.message, unread])
  const open = keyOf(at(row('open', '')))

  conversations.apply(written(row('open', '09:02', 'read at once')), open)
  conversations.apply(written(row('a', '09:03', 'unread')), open)
  conversations.apply(written(row('a', '09:04', 'our answer'), { direction: 'out' }), open)
  conversations.apply(written(row('a', '09:01', 'late')), open)
  conversations.apply(written(row('a', '09:05', 'delivered'), { type: 'message.updated' }), open)
  conversations.apply(written(row('gone', '09:00')), open)
  expect(shown()).toEqual([
    ['a', 'our answer', 1],
    ['open', 'read at once', 0],
    ['gone', 'listed', 1],
  ])
  meanwhile = () => {
    conversations.apply(written(row('a', '09:06', 'meanwhile')), open)
    conversations.apply(written(row('new', '09:07', 'meanwhile')), open)
  }
  items = [row('a', '09:04'), row('open', '09:02')].map(at)
  await conversations.load()

  expect(shown()).toEqual([
    ['new', 'meanwhile', 1],
    ['a', 'meanwhile', 2],
    ['open', 'listed', 0],
  ])
  meanwhile = () => conversations.apply(written(row('open', '09:08', 'meanwhile')), open)
  items = [row('a', '09:07'), row('open', '09:08')].map(at)
  await conversations.load()
  conversations.read(keyOf(at(row('a', ''))))
  expect(shown()).toEqual([
    ['open', 'meanwhile', 0],
    ['a', 'listed', 0],
  ])
})

test('A channel that has just gone is left out of the list, and any other problem is its answer', async ({ gateway, sandbox }) => {
  const client = createClient({ baseUrl: gateway.url, key: canaries.key })
  const refuse = (error: string) => sandbox.answer({ method: 'getchats', body: JSON.stringify({ status: 'ERROR', error }) })

  refuse('CHANNEL_NOT_FOUND')
  const { items, unlisted } = await listConversations(client)
  expect([new Set(items.map(({ platform }) => platform)).size, unlisted]).toEqual([3, []])
  refuse('NO_CREDITS')

  await expect(listConversations(client)).rejects.toMatchObject({ code: 'upstream-out-of-credit' })
})

test('A list that cannot be read says why', async () => {
  vi.stubGlobal('fetch', async () => Response.json({ code: 'insufficient-scope' }, { status: 403 }))
  onTestFinished(() => void vi.unstubAllGlobals())

  await expect(createConversations(() => {}).load()).rejects.toThrow('insufficient-scope')
})

test('A time of today has no date, and one of another year has its year', () => {
  const today = new Date().toISOString().slice(0, 10)
  const year = Number(today.slice(0, 4))
  const otherDay = today.endsWith('01-31') ? '01-30' : '01-31'

  expect([`${today} 09:30:00`, `${year}-${otherDay} 09:30:00`, `${year - 1}-${otherDay} 09:30:00`, null].map(shortTime)).toEqual([
    '09:30',
    `${otherDay} 09:30`,
    `${year - 1}-${otherDay} 09:30`,
    '',
  ])
})
