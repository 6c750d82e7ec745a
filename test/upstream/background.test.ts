import { describe, expect } from 'vitest'
import { getChatChannels, getChats, getMessages } from '../../src/afilnet/operations.ts'
import { readConfig } from '../../src/config/config.ts'
import { createUpstream } from '../../src/upstream/upstream.ts'
import { environment, test as gatewayTest, hold } from '../gateway.ts'

const test = gatewayTest.extend<{ upstream: ReturnType<typeof createUpstream> }>({
  upstream: async ({ sandbox }, use) => {
    const upstream = createUpstream({ ...readConfig({ ...environment(sandbox), AFILNET_CONNECTIONS: '11', AFILNET_TIMEZONE: 'UTC' }) })
    await use(upstream)
    await upstream.close()
  },
})

const channel = { platform: 'whatsapp', platformid: '100' }
const chat = { ...channel, destination: '34600000000' }

describe('a read in the background', () => {
  test('gives rows as callers get them, and when Afilnet answered by its own clock', async ({ upstream, gateway }) => {
    const { items, date, beganAt, endedAt } = await upstream.open('default').background(getMessages, chat)
    const { json } = await gateway.get('/chats/whatsapp/100/34600000000/messages')

    expect(items?.map(({ timestamp, ...item }) => item)).toEqual(json.items)
    expect(items?.[0]?.timestamp).toMatch(/Z$/)
    expect(Math.abs(Date.parse(String(date)) - endedAt)).toBeLessThan(60_000)
    expect(endedAt).toBeGreaterThanOrEqual(beganAt)
  })

  test('gives no time of Afilnet where the answer comes from a cache', async ({ upstream, sandbox }) => {
    sandbox.answer({ headers: { age: '60', date: 'Sat, 31 Jan 2026 12:00:00 GMT' }, body: '{"status":"SUCCESS"}' })

    expect(await upstream.open('default').background(getMessages, chat)).toMatchObject({ items: [], date: undefined })
  })

  test('gives channels', async ({ upstream }) => {
    const { items } = await upstream.open('default').background(getChatChannels, {})

    expect(items?.map(({ platform, platformId }) => `${platform}/${platformId}`)).toContain('whatsapp/100')
  })

  test('gives no rows where the bytes are the known ones, and asks Afilnet all the same', async ({ upstream, sandbox }) => {
    const account = upstream.open('default')
    const { digest } = await account.background(getChats, channel)

    expect(await account.background(getChats, channel, digest)).not.toHaveProperty('items')
    expect(sandbox.calls).toHaveLength(2)
    sandbox.receive({ ...chat, message: 'Hello' })
    expect(await account.background(getChats, channel, digest)).toHaveProperty('items')
  })

  test('takes a quarter of the connections at most', async ({ upstream, sandbox }) => {
    const account = upstream.open('default')
    const release = hold(sandbox, { times: 6 })
    const reads = Array.from({ length: 6 }, () => account.background(getMessages, chat))

    await sandbox.called(2)
    expect(upstream.report()).toMatchObject([{ inFlight: 2, queued: 0 }])
    release()
    await Promise.all(reads)
    expect(sandbox.calls).toHaveLength(6)
  })

  test('refuses rows of another chat, and fails like any read', async ({ upstream, sandbox }) => {
    const account = upstream.open('default')
    const list = [{ platform: 'telegram', platformid: '100', destination: chat.destination }]
    sandbox.answer({ body: JSON.stringify({ status: 'SUCCESS', result: { list } }) })
    await expect(account.background(getMessages, chat)).rejects.toThrow('upstream-invalid-response')
    sandbox.answer({ body: '{"status":"ERROR","error":"CHAT_NOT_FOUND"}' })
    await expect(account.background(getMessages, chat)).rejects.toThrow('chat-not-found')
  })
})
