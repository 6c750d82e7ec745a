import { describe, expect, onTestFinished, vi } from 'vitest'
import { getMessages } from '../../src/afilnet/operations.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { canaries } from '../gateway.ts'
import { created, polls, quiet, test } from './polling.ts'

const channel = { platform: 'whatsapp', platformid: '100' }
const chat = { ...channel, destination: '34600000000' }
const datetime = '2030-01-01 10:00:00'

/** The sandbox's clock can be turned. */
const turned = test.extend<{ clock: { aheadMs: number }; sandbox: Sandbox }>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  clock: async ({}, use) => use({ aheadMs: 0 }),
  sandbox: async ({ clock }, use) => {
    const sandbox = await startSandbox({ password: canaries.password, now: () => Date.now() + clock.aheadMs })
    await use(sandbox)
    await sandbox.close()
  },
})
const receive = (sandbox: Sandbox, ...texts: string[]) => texts.map(message => sandbox.receive({ ...chat, message }))

describe('Each message is one event', () => {
  const shapes = [
    { order: 'oldest-first', sent: 'number', sentName: 'issent' },
    { order: 'newest-first', twice: 'last', maxRows: 20, sent: 'boolean' },
    { order: 'mixed', sent: 'word', ids: 'number', list: 'object' },
    { twice: 'all', maxChats: 1, sent: 'string' },
  ] as const
  for (const shape of shapes) {
    test(`where lists have the shape ${JSON.stringify(shape)}`, async ({ startQuiet, sandbox }) => {
      sandbox.shape(shape)
      const polling = await startQuiet({ channels: ['whatsapp/100'] })
      const ids = [...receive(sandbox, 'One', 'Two'), sandbox.receive({ ...chat, message: 'Three', sent: true, datetime })]
      await expect.poll(async () => (await created(polling)).toSorted()).toEqual(ids)
      ids.push(sandbox.receive({ ...chat, message: 'Four', datetime: '2030-01-01 10:00:01' }))
      await expect.poll(async () => (await created(polling)).toSorted()).toEqual(ids)
      await quiet(polling)

      const events = await polling.events()
      expect(events.map(({ type }) => type)).toEqual(ids.map(() => 'message.created'))
      expect(events.find(({ messageId }) => messageId === ids[2])?.direction).toBe('out')
      expect(events.at(-1)).toMatchObject({ messageId: ids[3], direction: 'in' })
    })
  }

  test('where rows have no ids, and texts are equal in the same second', async ({ startQuiet, sandbox }) => {
    sandbox.shape({ omit: ['messageid'] })
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    for (const message of ['Same', 'Same', 'Same', 'Other']) sandbox.receive({ ...chat, message, datetime })

    await expect.poll(() => created(polling)).toHaveLength(4)
    await quiet(polling)
    const ids = await created(polling)
    expect(new Set(ids).size).toBe(4)
    expect(ids.every(id => /^row-[\w-]{16}-\d$/.test(String(id)))).toBe(true)
  })

  test('where ids vanish and come back', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    const [one] = receive(sandbox, 'One')
    await expect.poll(() => created(polling)).toEqual([one])
    sandbox.shape({ omit: ['messageid'] })
    receive(sandbox, 'Two')
    await expect.poll(() => created(polling)).toHaveLength(2)
    sandbox.shape({ omit: [] })
    const [three] = receive(sandbox, 'Three')

    await expect.poll(() => created(polling)).toEqual([one, expect.stringMatching(/^row-/), three])
  })

  turned('where Afilnet shows it late, also behind a newer one', async ({ startQuiet, sandbox, clock }) => {
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    const late = sandbox.receive({ ...chat, message: 'Late', lateMs: 60_000 })
    const [early] = receive(sandbox, 'Early')
    await expect.poll(() => created(polling)).toEqual([early])
    clock.aheadMs = 60_000
    const listed = async () =>
      (await polling.upstream.open('default').background(getMessages, chat)).items?.map(({ messageId }) => messageId)
    await expect.poll(listed).toContain(late)
    const [last] = receive(sandbox, 'Last') // what getchats does not show is found with the next change

    await expect.poll(() => created(polling)).toEqual([early, late, last])
  })

  test('where the clock is set back before a conversation is read again', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    sandbox.answer({ method: 'getmessages', status: 429, headers: { 'retry-after': '1' } })
    const ids = receive(sandbox, 'One')
    await expect.poll(() => polling.observed.some(({ event, details }) => event === 'upstreamAnswered' && details.fault)).toBe(true)
    const { now } = Date
    vi.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000)
    onTestFinished(() => void vi.restoreAllMocks())

    await expect.poll(() => created(polling)).toEqual(ids)
  })

  test('where a list shrinks, and grows again', async ({ startQuiet, sandbox }) => {
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    const ids = receive(sandbox, 'One', 'Two', 'Three')
    await expect.poll(() => created(polling)).toEqual(ids)
    sandbox.remove(chat, ids[0])
    sandbox.remove(chat, ids[2])
    await quiet(polling)
    sandbox.shape({ maxRows: 1 })
    ids.push(...receive(sandbox, 'Four'))
    await expect.poll(() => created(polling)).toEqual(ids)
    sandbox.shape({ maxRows: 0 })
    ids.push(...receive(sandbox, 'Five'))

    await expect.poll(() => created(polling)).toEqual(ids)
  })

  test('where two channels have the same destination', async ({ startQuiet, sandbox }) => {
    sandbox.addChannel({ platform: 'whatsapp', platformid: '101', name: 'Second number' })
    const polling = await startQuiet({ channels: ['whatsapp/*'] })
    await expect.poll(() => polls(polling, true)).toBeGreaterThan(8)
    const one = sandbox.receive({ ...chat, message: 'Same', datetime })
    const other = sandbox.receive({ ...chat, platformid: '101', message: 'Same', datetime })

    await expect
      .poll(async () => (await polling.events()).map(({ platformId, messageId }) => [platformId, messageId]).sort())
      .toEqual([
        ['100', one],
        ['101', other],
      ])
  })
})

describe('A gap', () => {
  test('comes before what a capped list shows, if nothing of that was known', async ({ startPolling, startQuiet, sandbox }) => {
    sandbox.shape({ maxRows: 20 })
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    await polling.stop()
    for (let n = 0; n < 25; n++) sandbox.receive({ ...chat, message: `Message ${n}` })
    const next = await startPolling({ channels: ['whatsapp/100'] })

    await expect.poll(() => created(next)).toHaveLength(20)
    expect((await next.events())[0]).toMatchObject({ type: 'gap', destination: chat.destination, reason: 'no-overlap', messageId: null })
  })
})

describe('Old messages', () => {
  test('are no events in a conversation that appears after the baseline, because lists of conversations are capped', async ({
    startQuiet,
    sandbox,
  }) => {
    sandbox.shape({ maxChats: 1 })
    const polling = await startQuiet({ channels: ['whatsapp/100'] })
    const id = sandbox.receive({ ...channel, destination: '34600000001', message: 'Hello again' })

    await expect.poll(() => created(polling)).toEqual([id])
  })
})
