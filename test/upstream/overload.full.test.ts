import { describe, expect } from 'vitest'
import { chat } from '../afilnet/calls.ts'
import { type TestGateway, test } from '../gateway.ts'

describe('a call that has to wait', () => {
  const reads = (gateway: TestGateway, from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => gateway.get(`/chats/whatsapp/100/${from + i}/messages`))

  test('is admitted while the duration of calls is unknown', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2' } })
    sandbox.latencyMs = 100

    const replies = await Promise.all(reads(gateway, 0, 4))

    expect(replies.map(({ status }) => status)).toEqual([404, 404, 404, 404]) // these chats are unknown
  })

  test('is refused at once if it could not end in time', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '1', AFILNET_TIMEOUT_MS: '6000' } })
    sandbox.latencyMs = 3_500
    await gateway.get(`${chat}/messages`)
    const running = gateway.get(`${chat}/messages`)
    await sandbox.called(2)
    let ended = false
    void running.then(() => {
      ended = true
    })

    const refused = await gateway.post(`${chat}/messages`, { message: 'Hello' })
    const waited = ended

    expect(refused).toMatchObject({ status: 503, json: { code: 'overloaded', outcome: 'not_applied', retry: 'yes' } })
    expect(waited, 'it was refused while the other call still ran').toBe(false)
    expect(await running).toMatchObject({ status: 200 })
    expect(sandbox.sent).toEqual([])
  })

  test('does not leave with too little of its budget', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2', AFILNET_TIMEOUT_MS: '500', AFILNET_LATE_MS: '0' } })
    sandbox.answer({ fault: 'silent', times: 4 })

    const send = () => gateway.post(`${chat}/messages`, { message: 'Hello' })
    const first = [send(), send()]
    await sandbox.called(2)
    const replies = await Promise.all([...first, send(), send()])

    expect(replies.map(({ status }) => status)).toEqual([504, 504, 503, 503])
    expect(sandbox.calls).toHaveLength(2)
  })

  test('gets a Retry-After that grows with the queue', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '8', AFILNET_TIMEOUT_MS: '5000' } })
    sandbox.latencyMs = 1_500
    await gateway.get(`${chat}/messages`)

    const replies = await Promise.all(reads(gateway, 0, 20))

    const refused = replies.filter(({ status }) => status === 503)
    expect(refused.map(({ headers }) => headers['retry-after'])).toEqual(['2', '2', '2', '2'])
    expect(replies.filter(({ status }) => status === 404)).toHaveLength(16)
  })
})
