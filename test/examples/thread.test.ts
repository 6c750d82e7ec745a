import { expect, onTestFinished, test as plain } from 'vitest'
import { createClient } from '../../client/src/client.ts'
import { fileIn } from '../../examples/inbox/page/media-links.ts'
import { createOutbox } from '../../examples/inbox/page/outbox.ts'
import { createThread } from '../../examples/inbox/page/thread.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, test } from '../gateway.ts'
import { watching } from '../live/streaming.ts'
import { samples } from '../media/forms.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }

const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }
const receive = (sandbox: Sandbox, message: string, datetime?: string) =>
  sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: chat.destination, message, ...(datetime && { datetime }) })

/** An open conversation, what arrived in it, and how often its list was read. */
function open({ url }: { url: string }) {
  const seen = { arrived: [] as unknown[], reads: 0 }
  const count = async (request: Request) => {
    const response = await fetch(request)
    if (request.url.includes('/messages?')) seen.reads++ // what comes from now on is not in its list
    return response
  }
  const client = async () => createClient({ baseUrl: url, key: canaries.key, fetch: count })
  const thread = createThread(chat, {
    gateway: client,
    outbox: createOutbox(chat, client, () => {}),
    onChange: () => {},
    onArrival: ({ message }) => seen.arrived.push(message),
    onState: () => {},
  })
  onTestFinished(() => thread.close())
  return { thread, seen, texts: () => thread.lines().map(({ message }) => message?.message) }
}

test('A burst of more messages in one second than the first page has keeps its order', async ({ start, sandbox }) => {
  const gateway = await start({ env })
  await watching(gateway)
  sandbox.answer({ method: 'getchats', delayMs: 2_000 }) // the events come after the page is read
  const datetime = new Date(Date.now() + 3_600_000).toISOString().slice(0, 19).replace('T', ' ')
  const burst = Array.from({ length: 70 }, (_, n) => `Message ${n}.`)
  for (const message of burst) receive(sandbox, message, datetime)
  const { seen, texts } = open(gateway)

  await expect.poll(() => seen.arrived.length).toBeGreaterThan(0)
  expect(texts()).toEqual(burst.slice(-50))
})

test('A conversation is read when it opens and when its stream begins, and not for a message that comes', async ({ start, sandbox }) => {
  const gateway = await start({ env })
  await watching(gateway)
  const { seen, texts } = open(gateway)
  await expect.poll(() => seen.reads).toBe(2)
  receive(sandbox, 'Hello')
  await expect.poll(() => seen.arrived).toEqual(['Hello'])

  expect(texts().at(-1)).toBe('Hello')
  expect(seen.reads).toBe(2)
})

test('A file whose name the gateway changes is one line of the conversation', async ({ start }) => {
  const { thread } = open(await start({ env }))
  const names = ['Screenshot 9.41\u202fAM.png', 'cafe\u0301 "1".png', `${'long '.repeat(30)}.png`]
  for (const name of names) await thread.send('Our menu', new File([new Uint8Array(samples.png)], name))

  const sent = () => thread.lines().filter(({ message, outgoing }) => outgoing ?? fileIn(message?.message ?? ''))
  await expect.poll(() => sent().map(({ message, outgoing }) => message && outgoing?.file?.name)).toEqual(names)
})

/** A conversation whose lists and events are those of the test. */
function scripted() {
  let events: ReadableStreamDefaultController | undefined
  const asked: { query: URLSearchParams; answer: (rows: object[], previousCursor?: string) => void }[] = []
  let send: object = {}
  const json = (body: object, status = 200) =>
    new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })
  const fetch = async ({ url, method }: Request): Promise<Response> => {
    const { pathname, searchParams: query } = new URL(url)
    if (method === 'POST') return json(send, 201)
    if (pathname.endsWith('/messages'))
      return new Promise(resolve => {
        asked.push({ query, answer: (items, previousCursor) => resolve(json({ items, ...(previousCursor && { previousCursor }) })) })
      })
    const body = new ReadableStream({
      start: controller => {
        events = controller
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
  const client = async () => createClient({ baseUrl: 'http://127.0.0.1:9', key: canaries.key, fetch })
  const outbox = createOutbox(chat, client, () => {})
  const arrived: unknown[] = []
  const options = { gateway: client, outbox, onChange: () => {}, onArrival: ({ message }: { message: unknown }) => arrived.push(message) }
  const thread = createThread(chat, { ...options, onState: () => {} })
  onTestFinished(() => thread.close())
  const settled = async () => {
    for (let n = 0; n < 20; n++) await new Promise(resolve => setImmediate(resolve))
  }
  return {
    thread,
    asked,
    arrived,
    /** Answers the read that was asked for last. */
    async list(rows: object[], previousCursor?: string) {
      await settled()
      asked.at(-1)?.answer(rows, previousCursor)
      await settled()
    },
    async say(event: object) {
      await settled()
      events?.enqueue(Buffer.from(`data: ${JSON.stringify(event)}\n\n`))
      await settled()
    },
    async send(text: string, more: object) {
      send = more
      await thread.send(text)
    },
    shown: () => thread.lines().map(({ message, outgoing }) => [message?.messageId, message?.message ?? outgoing?.text].join(' ').trim()),
    tied: () => thread.lines().flatMap(({ message, outgoing }) => (outgoing ? [[message?.messageId, outgoing.text]] : [])),
  }
}
const row = (messageId: string, time: string, message = 'text', direction = 'in') => ({
  messageId,
  datetime: `2026-01-31 09:${time}`,
  message,
  direction,
})
const created = (message: ReturnType<typeof row>) => ({ type: 'message.created', direction: message.direction, message })

plain(
  'A conversation that is read again has what was read before it, what Afilnet lists, and what an event brought meanwhile',
  async () => {
    const { asked, arrived, list, say, shown } = scripted()

    await list([row('1', '01'), row('2', '02')], 'c_1')
    await say({ type: 'send.updated' }) // the first word of the stream
    await list([row('2', '02'), row('3', '03')], 'c_2')
    expect(shown()).toEqual(['1 text', '2 text', '3 text'])
    await say(created(row('5', '05')))
    await say(created(row('6', '06', 'ours', 'out')))
    await say(created(row('4', '04', 'late')))
    await say({ ...created(row('3', '03', 'delivered')), type: 'message.updated' })
    await say({ ...created(row('0', '00', 'not shown yet')), type: 'message.updated' })
    expect(shown()).toEqual(['1 text', '2 text', '3 delivered', '4 late', '5 text', '6 ours'])
    expect(arrived).toEqual(['text', 'late'])

    await say({ type: 'gap' })
    await say(created(row('7', '07', 'meanwhile')))
    await say(created(row('x', '04', 'meanwhile, and not listed')))
    await list([row('3', '03'), row('4', '04'), row('5', '05')]) // Afilnet has forgotten one
    expect(shown()).toEqual(['1 text', '2 text', '3 text', '4 text', '5 text', '7 meanwhile'])
    expect(asked).toHaveLength(3)
  },
)

plain('A message is announced once, although a list has it before its event, and the event comes twice', async () => {
  const { list, say, arrived, shown } = scripted()
  await list([row('1', '01')])
  await say({ type: 'send.updated' })
  await list([row('1', '01'), row('2', '02', 'news'), row('3', '03', 'ours', 'out')])

  for (const one of [row('2', '02', 'news'), row('3', '03', 'ours', 'out'), row('2', '02', 'news')]) await say(created(one))

  expect(arrived).toEqual(['news'])
  expect(shown()).toEqual(['1 text', '2 news', '3 ours'])
})

plain('Older messages are put before the others, each once', async () => {
  const { thread, asked, list, say, shown } = scripted()
  await list([row('2', '02'), row('3', '03')], 'c_1')
  await say({ type: 'send.updated' })
  await list([row('3', '03'), row('4', '04')], 'c_2')

  const older = thread.loadOlder()
  void thread.loadOlder()
  await list([row('1', '01'), row('2', '02')], 'c_0')
  await older
  const oldest = thread.loadOlder()
  await list([row('0', '00')])
  await oldest
  await thread.loadOlder()

  expect(shown()).toEqual(['0 text', '1 text', '2 text', '3 text', '4 text'])
  expect(asked.map(({ query }) => query.get('before'))).toEqual([null, null, 'c_1', 'c_0'])
})

plain('Rows without an id are one only if they say the same, from the same side, at the same time', async () => {
  const { list, say, shown } = scripted()
  const nameless = (...of: Parameters<typeof row>) => ({ ...row(...of), messageId: null })
  await list([nameless('', '01', 'Hello')])
  await say({ type: 'send.updated' })
  await list([nameless('', '01', 'Hello')])

  for (const [time, direction] of [
    ['01', 'in'],
    ['01', 'out'],
    ['02', 'in'],
  ] as const)
    await say({ type: 'message.created', direction, message: nameless('', time, 'Hello', direction) })

  expect(shown()).toEqual(Array(3).fill('Hello'))
})

plain('A row shows what this page sent only if it is that', async () => {
  const { thread, list, say, send, tied, shown } = scripted()
  await list([row('1', '01', 'Hello', 'out')])
  await say({ type: 'send.updated' })
  await list([row('1', '01', 'Hello', 'out')])

  await send('Hello', { state: 'accepted' })
  expect(tied()).toEqual([[undefined, 'Hello']]) // not the one of before
  await say(created(row('2', '02', 'Hello', 'in')))
  expect(tied()).toEqual([[undefined, 'Hello']])
  await say(created(row('3', '03', 'Hello', 'out')))
  expect(tied()).toEqual([['3', 'Hello']])
  await send('Known', { state: 'accepted', messageId: '5' })
  await say(created(row('4', '04', 'Known', 'out')))
  expect(tied()).toContainEqual([undefined, 'Known'])
  await say(created(row('5', '05', 'Known, as Afilnet writes it', 'out')))
  expect(tied()).toContainEqual(['5', 'Known'])
  await send('Refused', { state: 'rejected' })
  await say(created(row('6', '06', 'Refused', 'out')))

  expect(tied()).toContainEqual([undefined, 'Refused'])
  expect(shown().at(-1)).toBe('Refused')
  await say({ type: 'send.updated', send: { idempotencyKey: thread.outbox.all.at(-1)?.key, state: 'accepted' } })
  expect(tied()).toContainEqual(['6', 'Refused'])
})
