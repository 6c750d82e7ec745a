import { describe, expect, onTestFinished } from 'vitest'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { createState } from '../../src/sandbox/state.ts'
import { answerTo, call, chat, test } from './client.ts'

type Row = Record<string, string>
const list = async (sandbox: Sandbox, method: string, params: Row = chat): Promise<Row[]> =>
  (await answerTo(sandbox, call(sandbox, method, params))).result.list
const hello = { ...chat, message: 'Hello' }

describe('the world', () => {
  test('has a channel on each platform, and conversations both ways', async ({ sandbox }) => {
    const channels = await list(sandbox, 'getchatchannels', {})

    expect(channels.map(({ platform }) => platform).sort()).toEqual(['operator', 'telegram', 'webchat', 'whatsapp'])
    for (const { platform = '', platformid = '' } of channels) {
      const chats = await list(sandbox, 'getchats', { platform, platformid })
      expect(chats).not.toEqual([])
      for (const { destination = '' } of chats) {
        const messages = await list(sandbox, 'getmessages', { platform, platformid, destination })
        expect(new Set(messages.map(({ sent }) => sent))).toEqual(new Set(['0', '1']))
      }
    }
  })

  test('shows a sent message in both lists, last and first', async ({ sandbox }) => {
    await answerTo(sandbox, call(sandbox, 'sendmessage', hello))

    expect((await list(sandbox, 'getmessages')).at(-1)).toMatchObject({ ...hello, sent: '1' })
    expect((await list(sandbox, 'getchats', { platform: 'whatsapp', platformid: '100' }))[0]).toMatchObject(hello)
  })

  test('opens a conversation with the first message', async ({ sandbox }) => {
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...hello, destination: '34699999999' }))

    expect(await list(sandbox, 'getmessages', { ...chat, destination: '34699999999' })).toMatchObject([{ message: 'Hello' }])
  })

  test('gives each unread message once', async ({ sandbox }) => {
    expect(await list(sandbox, 'getunreadmessages')).toHaveLength(2)
    expect(await list(sandbox, 'getunreadmessages')).toEqual([])

    sandbox.receive(hello)
    expect(await list(sandbox, 'getunreadmessages')).toMatchObject([{ ...hello, issent: '0' }])
  })

  test('refuses to write to a channel that does not exist', ({ sandbox }) => {
    expect(() => sandbox.receive({ ...hello, platformid: '999' })).toThrow('whatsapp/999')
  })

  test('begins anew with a reset', async ({ sandbox }) => {
    sandbox.latencyMs = 5
    sandbox.answer({ status: 500, method: 'getunreadmessages' })
    await answerTo(sandbox, call(sandbox, 'sendmessage', hello))
    sandbox.reset()

    expect(sandbox).toMatchObject({ calls: [], sent: [], latencyMs: 0 })
    expect(await list(sandbox, 'getunreadmessages')).toHaveLength(2)
  })
})

describe('time', () => {
  const now = () => Date.UTC(2026, 0, 31)

  test('is what the clock says, in UTC', async () => {
    const sandbox = await startSandbox({ now })
    onTestFinished(() => sandbox.close())
    await answerTo(sandbox, call(sandbox, 'sendmessage', hello))

    expect(sandbox.sent).toMatchObject([{ at: '2026-01-31T00:00:00.000Z' }])
    expect(sandbox.calls).toMatchObject([{ at: '2026-01-31T00:00:00.000Z' }])
    expect((await list(sandbox, 'getmessages')).at(-1)).toMatchObject({ datetime: '2026-01-31 00:00:00' })
  })

  test('brings the customer’s reply to a message, and none to a file', async () => {
    const state = createState({ now, customers: { replyAfterMs: 1 } })
    const guest = { platform: 'webchat', platformid: '10', destination: 'visitor-7f3a' }
    state.main.world.take({ method: 'sendfile', ...chat, type: 'image', fileurl: 'https://example.com/a.png' })
    state.main.world.take({ method: 'sendmessage', ...guest, message: 'Hello' })

    await state.until(() => state.main.world.unread(guest).length === 2)
    expect(state.main.world.unread(chat)).toHaveLength(2)
  })
})
