import { createServer, type ServerResponse } from 'node:http'
import { describe, expect } from 'vitest'
import { Client } from '../../src/afilnet/client.ts'
import { getChats } from '../../src/afilnet/operations.ts'
import { FairQueue, type Waiter } from '../../src/lib/fair-queue.ts'
import { test } from '../gateway.ts'
import { listen } from './listeners.ts'

const limit = 1_048_576
const answer = '{"status":"SUCCESS","result":{"list":[{"messageid":"1"}]}}'.padEnd(limit)

/** Answers a read of a channel's chats at length, keeping the last byte back until `finish`, and anything else shortly. */
async function verbose() {
  const held = new Set<ServerResponse>()
  let asked = 0
  let finished = false
  let look = () => {}
  const server = createServer(async (request, response) => {
    let form = ''
    for await (const chunk of request) form += chunk
    if (!form.includes('getchats')) return void response.end(answer.trim())
    asked++
    response.setHeader('content-length', answer.length)
    response.write(answer.slice(0, -1), () => {
      if (finished) response.end(' ')
      held.add(response)
      look()
    })
    look()
  })
  const port = await listen(server)
  const until = (condition: () => boolean) =>
    new Promise<void>(resolve => {
      look = () => condition() && resolve()
      look()
    })
  return {
    url: `http://127.0.0.1:${port}/api/http/`,
    asked: (count: number) => until(() => asked >= count),
    /** Resolves when that many large answers are, but for one byte, on their way. */
    written: (count: number) => until(() => held.size >= count),
    finish: () => {
      finished = true
      for (const response of held) response.end(' ')
    },
  }
}

const env = { AFILNET_MAX_RESPONSE_BYTES: String(limit), AFILNET_CONNECTIONS: '32' }
const chats = Array.from({ length: 20 }, (_, index) => `/chats/whatsapp/${index}`)

describe('large answers', () => {
  test('that come all at once are all read in the end', async ({ start }) => {
    const afilnet = await verbose()
    const gateway = await start({ env: { ...env, AFILNET_URL: afilnet.url } })

    const replies = Promise.all(chats.map(path => gateway.get(path)))
    await afilnet.written(7)
    await afilnet.asked(20)
    const small = await gateway.get('/channels')
    afilnet.finish()
    const statuses = (await replies).map(({ status }) => status)

    expect(small.status, 'a small one need not wait').toBe(200)
    expect(statuses).toEqual(chats.map(() => 200))
  })

  test('wait for room, though their bytes are there', async () => {
    const afilnet = await verbose()
    afilnet.finish()
    const caller = 'someone'
    const queue = new FairQueue(1, 32)
    const other: Waiter = { caller: 'another', position: 'none', onAcquired() {}, onEvicted() {} }
    queue.acquire(other)
    const largeResponseSlots = [queue]
    const account = { url: new URL(afilnet.url), transport: 'post', user: 'u', password: 'fake', connections: 32, lateMs: 0 } as const
    const hasty = new Client({ ...account, maxResponseBytes: limit, largeResponseSlots, timeoutMs: 1_000 })
    const patient = new Client({ ...account, maxResponseBytes: limit, largeResponseSlots, timeoutMs: 60_000 })

    await expect(hasty.call(getChats, { platform: 'whatsapp', platformid: '1' }, { caller, timeoutMs: 1_000 })).rejects.toThrow(
      'upstream-timeout',
    )
    const rows = patient.call(getChats, { platform: 'whatsapp', platformid: '2' }, { caller, timeoutMs: 60_000 })
    await afilnet.asked(2)
    queue.release(other)

    expect(await rows).toMatchObject([{ messageid: '1' }])
    await Promise.all([hasty.close(), patient.close()])
  })

  test('of one account that never come to an end leave room for those of another', async ({ start }) => {
    const [endless, afilnet] = [await verbose(), await verbose()]
    afilnet.finish()
    const other = { key: 'fake-other-key-0123456789', account: 'other' }
    const accounts = { other: { url: new URL(endless.url) } }
    const gateway = await start({ env: { ...env, AFILNET_URL: afilnet.url }, accounts, callers: { other } })

    const stuck = chats.map(path => gateway.request(path, { key: other.key }))
    await endless.written(4)
    await endless.asked(20)
    const served = await Promise.all(chats.map(path => gateway.get(path)))
    endless.finish()

    expect(new Set(served.map(({ status }) => status))).toEqual(new Set([200]))
    expect(new Set((await Promise.all(stuck)).map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('that get no room within their budget are given up', async ({ start }) => {
    const afilnet = await verbose()
    const gateway = await start({ env: { ...env, AFILNET_URL: afilnet.url, AFILNET_TIMEOUT_MS: '1500' } })

    const replies = await Promise.all(chats.map(path => gateway.get(path)))
    afilnet.finish()

    for (const { json } of replies) expect(json).toMatchObject({ status: 504, code: 'upstream-timeout', outcome: 'not_applied' })
    const later = () => gateway.get('/chats/whatsapp/100/1/messages') // its room is free again; the circuit of the other operation is open
    await expect.poll(async () => (await later()).status).toBe(200)
  })
})
