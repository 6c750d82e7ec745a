import { describe, expect, vi } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, hold, type TestGateway, test } from '../gateway.ts'
import { chat } from './calls.ts'

const patient = { timeout: 40_000 }
const overloaded = { status: 503, code: 'overloaded', outcome: 'not_applied', retry: 'yes' }
const send = (gateway: TestGateway, message: string) => gateway.post(`${chat}/messages`, { message })
const arrived = ({ calls }: Sandbox) => calls.map(({ params }) => Object.fromEntries(params).message)

describe.concurrent('a gateway whose places are taken', () => {
  test('lets as many calls wait, and refuses more at once', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '1' } })
    const release = hold(sandbox)
    const first = send(gateway, 'first')
    await sandbox.called(1)
    // Which of the two comes first is for the network to say.
    const others = [send(gateway, 'second'), send(gateway, 'third')]

    const refused = await Promise.race([first, ...others])
    release()
    const replies = await Promise.all([first, ...others])

    expect(refused.json).toMatchObject(overloaded)
    expect(refused.headers['retry-after']).toBe('1')
    expect(replies.map(({ status }) => status).toSorted()).toEqual([201, 201, 503])
    expect(sandbox.sent).toHaveLength(2)
  })

  test('makes a call as soon as a place is free', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2' } })
    sandbox.answer({ delayMs: 100, times: 4 })

    const replies = await Promise.all(['a', 'b', 'c', 'd'].map(text => send(gateway, text)))

    expect(replies.map(({ status }) => status)).toEqual([201, 201, 201, 201])
    expect(arrived(sandbox).toSorted()).toEqual(['a', 'b', 'c', 'd'])
  })

  test('never makes a call that it has refused', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2', AFILNET_TIMEOUT_MS: '1000' } })
    const texts = Array.from({ length: 12 }, (_, index) => `text ${index}`)
    const sendInVain = async (message: string) => ({
      text: message,
      ...(await gateway.post('/chats/whatsapp/100/silent/messages', { message })).json,
    })

    const replies = await Promise.all(texts.map(sendInVain))
    await vi.waitFor(async () => expect((await send(gateway, 'later')).status).toBe(201), patient)

    const refused = replies.filter(({ outcome }) => outcome === 'not_applied')
    expect(refused.length).toBeGreaterThanOrEqual(8)
    expect(arrived(sandbox).filter(text => refused.some(reply => reply.text === text))).toEqual([])
    for (const reply of replies) if (reply.outcome === 'unknown') expect(arrived(sandbox)).toContain(reply.text)
  })

  test('is whole again after calls that failed in every way', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2', AFILNET_TIMEOUT_MS: '1000', AFILNET_MAX_RESPONSE_BYTES: '65536' } })
    for (const fault of ['silent', 'drop', 'reset', 'truncated', 'ssh', 'endless', 'stall', 'two-lengths'] as const) {
      sandbox.answer({ fault, times: 2 })
      await Promise.all([send(gateway, fault), send(gateway, fault)])
    }

    // Two at a time, and two that wait for them
    const statuses = async () => (await Promise.all([1, 2, 3, 4].map(text => send(gateway, String(text))))).map(({ status }) => status)
    await vi.waitFor(async () => expect(await statuses()).toEqual([201, 201, 201, 201]), patient)
  })

  test('gives a place up when the caller who waits for one leaves', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '1' } })
    const release = hold(sandbox)
    const first = send(gateway, 'first')
    await sandbox.called(1)
    const leaving = new AbortController()
    const headers = { authorization: `Bearer ${canaries.key}` }
    const reads = ['/channels', '/chats/whatsapp/100'].map(path => fetch(gateway.url + path, { headers, signal: leaving.signal }))
    const refused = await Promise.race(reads) // so the other one waits
    leaving.abort()
    await Promise.allSettled(reads)
    await gateway.logged(line => line.aborted === true)

    const second = send(gateway, 'second')
    release()

    expect(refused.status).toBe(503)
    expect((await second).status).toBe(201)
    expect((await first).status).toBe(201)
    expect(sandbox.calls.map(({ params }) => Object.fromEntries(params).method)).toEqual(['sendmessage', 'sendmessage'])
  })
})
