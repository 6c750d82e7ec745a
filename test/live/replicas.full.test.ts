import { describe, expect, onTestFinished } from 'vitest'
import { test } from '../gateway.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { openStream, watching } from './streaming.ts'

const env = {
  EVENTS_CHANNELS: 'whatsapp/100',
  EVENTS_INTERVAL_MS: '1000',
  QUEUE_KEY: Buffer.alloc(32, 'fake').toString('base64'),
}
const soon = { interval: 50 }
const path = '/chats/whatsapp/100/34600000000/messages'

describe.skipIf(noServer)('Two gateways on one server (needs redis-server)', () => {
  test('tell on their streams what became of sends of the other one', async ({ start, sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const polling = await start({ env: { ...env, STORE_URL: server.url() } })
    await watching(polling)
    const other = await start({ env: { ...env, STORE_URL: server.url() } })
    const streams = [openStream(polling, {}, '?type=send.updated'), openStream(other, {}, '?type=send.updated')]
    for (const { blocks } of streams) await expect.poll(blocks, soon).toHaveLength(1)
    const updates = () =>
      streams.map(({ blocks }) =>
        blocks().flatMap(({ data }) => {
          const send = data?.send as { id: string; state: string; settledBy?: string } | undefined
          return send ? [[send.id, send.state, send.settledBy]] : []
        }),
      )

    sandbox.answer({ fault: 'drop', method: 'sendmessage' })
    const unknown = (await polling.post(path, { message: 'Did it arrive?' })).json.sendId
    const found = expect.arrayContaining([[unknown, 'accepted', 'read-back']])
    await expect.poll(updates, soon).toEqual([found, found])

    const queued = (await other.post(path, { message: 'Later' }, { prefer: 'respond-async' })).json.id
    const ended = expect.arrayContaining([[queued, 'accepted', 'answer']])
    await expect.poll(updates, soon).toEqual([ended, ended])

    const canceled = (await polling.post(path, { message: 'Never', sendAt: new Date(Date.now() + 3_600_000).toISOString() })).json.id
    await other.request(`/sends/${canceled}`, { method: 'DELETE' })
    const taken = expect.arrayContaining([[canceled, 'canceled', 'caller']])
    await expect.poll(updates, soon).toEqual([taken, taken])

    sandbox.answer({ fault: 'silent', method: 'sendmessage', takes: false })
    const settled = (await polling.post(path, { message: 'Ask a person' })).json.sendId
    const { status } = await other.post(`/sends/${settled}/settle`, { state: 'not_sent', note: 'Not in the conversation' })
    expect(status).toBe(200)
    const said = expect.arrayContaining([[settled, 'not_sent', 'caller']])
    await expect.poll(updates, soon).toEqual([said, said])
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['Did it arrive?', 'Later'])
    for (const { socket } of streams) socket.destroy()
  })
})
