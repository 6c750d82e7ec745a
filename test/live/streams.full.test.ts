import { describe, expect } from 'vitest'
import { type TestGateway, test } from '../gateway.ts'
import { openStream, watching } from './streaming.ts'

const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000', AFILNET_MAX_RESPONSE_BYTES: '8388608' }
const chat = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const soon = { interval: 100 }

async function openStreams({ adminUrl }: TestGateway) {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(/gateway_events_streams\{account="default"\} (\d+)/.exec(text)?.[1])
}

describe('A stream', () => {
  test('that nobody reads ends once a megabyte is unsent, and one that is read gets everything', async ({ start, sandbox }) => {
    sandbox.shape({ maxRows: 5 })
    const gateway = await start({ env })
    await watching(gateway)
    const [slow, quick] = [openStream(gateway), openStream(gateway)]
    for (const { blocks } of [slow, quick]) await expect.poll(blocks, soon).toHaveLength(1)
    slow.socket.pause()
    const ids: string[] = []
    while ((await openStreams(gateway)) > 1 && ids.length < 100) {
      for (let n = 0; n < 3; n++) ids.push(sandbox.receive({ ...chat, message: `${n}`.padEnd(900_000, 'x') }))
      const last = ids.at(-1)
      await expect.poll(() => quick.text.includes(`"messageId":"${last}"`), soon).toBe(true)
    }

    expect(await openStreams(gateway)).toBe(1)
    expect(quick.ended).toBe(false)
    expect(quick.blocks().flatMap(({ data }) => (data ? [data.messageId] : []))).toEqual(ids)
    for (const { socket } of [slow, quick]) socket.destroy()
  })

  test('that is quiet or filtered gets a comment and its id every 15 seconds, and resumes there', async ({ start, sandbox }) => {
    const gateway = await start({ env })
    await watching(gateway)
    const stream = openStream(gateway, {}, '?type=send.updated')
    await expect.poll(stream.blocks, soon).toHaveLength(1)
    sandbox.receive({ ...chat, message: 'Filtered out' })
    const found = async () => (await gateway.get('/events')).json.items
    await expect.poll(found, soon).toHaveLength(1)
    const [{ id }] = await found()

    await expect.poll(() => stream.blocks().at(-1), soon).toEqual({ comment: true, id })
    stream.socket.destroy()
    const resumed = openStream(gateway, { 'last-event-id': id })
    const messageId = sandbox.receive({ ...chat, message: 'New' })
    await expect.poll(() => resumed.blocks().flatMap(({ data }) => data?.messageId ?? []), soon).toEqual([messageId])
    resumed.socket.destroy()
  })
})
