import { describe, expect, onTestFinished } from 'vitest'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import type { Shape } from '../../src/sandbox/response-format.ts'
import { answerTo, call, chat, test } from './client.ts'

const channel = { platform: 'whatsapp', platformid: '100' }
const quiet = { ...channel, destination: '34600000009' }
const list = async (sandbox: Sandbox, method: string, params: Record<string, string>) =>
  (await answerTo(sandbox, call(sandbox, method, params))).result.list
const texts = async (sandbox: Sandbox, address = quiet) => (await list(sandbox, 'getmessages', address)).map(({ message }) => message)

describe('what lists show', () => {
  test.for<[Partial<Shape>, string, string]>([
    [{}, '1 2 3 4', '4 b'],
    [{ order: 'oldest-first' }, '1 2 3 4', 'b 4'],
    [{ order: 'newest-first' }, '4 3 2 1', '4 b'],
    [{ order: 'mixed' }, '2 4 1 3', '4 b'],
    [{ twice: 'last' }, '1 2 3 4 4', '4 4 b'],
    [{ twice: 'all', maxRows: 2, maxChats: 1 }, '3 3 4 4', '4 4'],
    [{ maxRows: 3, order: 'newest-first' }, '4 3 2', '4 b'],
  ])('as %j', async ([shape, messages, chats], { sandbox }) => {
    for (const { platform, platformid, destination } of sandbox.messages()) sandbox.remove({ platform, platformid, destination })
    sandbox.receive({ ...quiet, destination: '34600000008', message: 'b' })
    for (const message of ['1', '2', '3', '4']) sandbox.receive({ ...quiet, message })
    sandbox.shape(shape)

    expect((await texts(sandbox)).join(' ')).toBe(messages)
    expect((await list(sandbox, 'getchats', channel)).map(({ message }) => message).join(' ')).toBe(chats)
  })

  test('late, where it belongs by then', async () => {
    let at = Date.UTC(2026, 0, 31)
    const sandbox = await startSandbox({ now: () => at })
    onTestFinished(() => sandbox.close())
    sandbox.receive({ ...quiet, message: '1', lateMs: 10 })
    sandbox.receive({ ...quiet, message: '2' })
    sandbox.shape({ lateMs: 20 })
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...quiet, message: '3' }))

    expect(await texts(sandbox)).toEqual(['2'])
    expect(sandbox.messages().filter(({ destination }) => destination === quiet.destination)).toHaveLength(3)
    at += 10
    expect(await texts(sandbox)).toEqual(['1', '2'])
    at += 10
    expect(await texts(sandbox)).toEqual(['1', '2', '3'])
  })

  test('of another channel with the same customer, apart', async ({ sandbox }) => {
    sandbox.addChannel({ platform: 'whatsapp', platformid: '101', name: 'Second' })
    sandbox.receive({ ...quiet, message: 'to 100' })
    sandbox.receive({ ...quiet, platformid: '101', message: 'to 101' })

    expect(await texts(sandbox)).toEqual(['to 100'])
    expect(await texts(sandbox, { ...quiet, platformid: '101' })).toEqual(['to 101'])
  })
})

describe('a customer', () => {
  test('answers what is sent, by their own script', async ({ sandbox }) => {
    sandbox.script({ replyAfterMs: 1, texts: ['Yes', 'No'] })
    sandbox.script({ texts: ['As you like {n}'] }, chat)
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...quiet, message: 'Coffee?' }))
    await sandbox.until(({ messages }) => messages().some(({ message }) => message === 'Yes'))
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...chat, message: 'Coffee?' }))
    await sandbox.until(({ messages }) => messages().some(({ message }) => message === 'As you like 2'))

    expect(await texts(sandbox)).toEqual(['Coffee?', 'Yes'])
    expect((await texts(sandbox, chat)).slice(-2)).toEqual(['Coffee?', 'As you like 2'])
  })

  test('gets a message and reads it', async ({ sandbox }) => {
    const statuses: (string | undefined)[] = []
    sandbox.script({ deliveredAfterMs: 1, readAfterMs: 20 })
    const wasRead = sandbox.until(({ messages }) => {
      const status = messages().find(({ destination }) => destination === quiet.destination)?.status
      if (status !== undefined && status !== statuses.at(-1)) statuses.push(status)
      return status === 'read'
    })
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...quiet, message: 'Hello' }))
    await wasRead

    expect(statuses).toEqual(['sent', 'delivered', 'read'])
  })

  test('writes unasked, one text after the other, until told to stop', async ({ sandbox }) => {
    sandbox.script({ texts: ['{n} of {n}', 'Message {n}'] }, quiet)
    sandbox.script({ writeEveryMs: 1 }, quiet)
    await sandbox.until(({ messages }) => messages().some(({ message }) => message === '3 of 3'))
    sandbox.script({ writeEveryMs: 0 }, quiet)
    const said = await texts(sandbox)
    sandbox.script({ writeEveryMs: 1, texts: ['Elsewhere'] }, chat)
    await sandbox.until(({ messages }) => messages().filter(({ message }) => message === 'Elsewhere').length > 9)

    expect(said.slice(0, 3)).toEqual(['1 of 1', 'Message 2', '3 of 3'])
    expect(await texts(sandbox)).toEqual(said)
  })

  test('writes in turn with the others, however much each has said', async ({ sandbox }) => {
    const customers = (isOf = (_: string) => true) =>
      sandbox.messages().flatMap(({ platform, destination, message }) => (isOf(message) ? [`${platform} ${destination}`] : []))
    const all = [...new Set(customers())]
    sandbox.script({ writeEveryMs: 1, texts: ['{n}'] })
    await sandbox.until(({ messages }) => messages().some(({ message }) => Number(message) === 2 * all.length))

    expect(customers(message => Number(message) <= 2 * all.length).sort()).toEqual([...all, ...all].sort())
  })

  test('says nothing after a reset', async ({ sandbox }) => {
    sandbox.script({ replyAfterMs: 1, texts: ['Never'] })
    sandbox.reset()
    sandbox.script({ replyAfterMs: 1, texts: ['Now'] }, chat)
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...quiet, message: 'Hello' }))
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...chat, message: 'Hello' }))
    await sandbox.until(({ messages }) => messages().some(({ message }) => message === 'Now'))

    expect(await texts(sandbox)).toEqual(['Hello'])
  })
})
