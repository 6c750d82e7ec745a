import { expect, onTestFinished } from 'vitest'
import { createClient } from '../../client/src/client.ts'
import { createOutbox } from '../../examples/inbox/page/outbox.ts'
import { createThread } from '../../examples/inbox/page/thread.ts'
import { canaries, test } from '../gateway.ts'
import { watching } from '../live/streaming.ts'

const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }

test('A burst of more messages in one second than the first page has keeps its order', async ({ start, sandbox }) => {
  const gateway = await start({ env: { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' } })
  await watching(gateway)
  sandbox.answer({ method: 'getchats', delayMs: 2_000 }) // the events come after the page is read
  const datetime = new Date(Date.now() + 3_600_000).toISOString().slice(0, 19).replace('T', ' ')
  const burst = Array.from({ length: 70 }, (_, n) => `Message ${n}.`)
  for (const message of burst)
    sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: chat.destination, message, datetime })
  const client = async () => createClient({ baseUrl: gateway.url, key: canaries.key })
  const arrived: unknown[] = []
  const thread = createThread(chat, {
    gateway: client,
    outbox: createOutbox(chat, client, () => {}),
    onChange: () => {},
    onArrival: ({ message }) => arrived.push(message),
    onState: () => {},
  })
  onTestFinished(() => thread.close())

  await expect.poll(() => arrived.length).toBeGreaterThan(0)
  expect(thread.lines().map(({ message }) => message?.message)).toEqual(burst.slice(-50))
})
