import { expect, onTestFinished } from 'vitest'
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
  const count = (request: Request) => {
    if (request.url.includes('/messages?')) seen.reads++
    return fetch(request)
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
