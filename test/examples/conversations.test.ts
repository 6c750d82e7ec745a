import { expect, onTestFinished, vi } from 'vitest'
import { createConversations, type Event, keyOf } from '../../examples/inbox/page/conversations.ts'
import { startInbox } from '../../examples/inbox/server/inbox.ts'
import { test } from '../gateway.ts'

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
