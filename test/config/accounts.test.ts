import { describe, expect, onTestFinished, vi } from 'vitest'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { canaries, hold, type Reply, requestsInFlight, type StartOptions, type TestGateway, test } from '../gateway.ts'

const crm = { key: 'fake-crm-key-0123456789' }
const bulk = { key: 'fake-bulk-key-0123456789' }
const other = { key: 'fake-other-key-0123456789', account: 'other' }
const chat = '/chats/whatsapp/100/34600000000'
const statuses = (replies: Reply[]) => replies.map(({ status }) => status)
/** What Afilnet says of a conversation that it does not have: it was asked, and it answered. */
const answered = 404
const times = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Once that many requests wait for their answer or for a place, or have been refused one. */
const arrived = (gateway: TestGateway, count: number) => {
  const refused = () => gateway.log.filter(({ code }) => code === 'overloaded').length
  return expect.poll(async () => (await requestsInFlight(gateway)) + refused()).toBe(count)
}

/** A second Afilnet with a password of its own. */
async function second(password: string = canaries.password) {
  const sandbox = await startSandbox({ password })
  onTestFinished(() => sandbox.close())
  const account = { user: sandbox.user, password, url: new URL(`${sandbox.url}/api/http/`) }
  return { sandbox, account }
}

describe('Two accounts', () => {
  test('are never crossed, under load and with reads that are shared', async ({ sandbox, start }) => {
    const { sandbox: elsewhere, account } = await second()
    const gateway = await start({ accounts: { other: account }, callers: { crm, other } })
    for (const [where, name] of [
      [sandbox, 'of the first'],
      [elsewhere, 'of the second'],
    ] as const) {
      where.latencyMs = 20
      const row = { platform: 'whatsapp', platformid: '100', name }
      where.answer({ method: 'getchatchannels', times: 1_000, body: JSON.stringify({ status: 'SUCCESS', result: { list: [row] } }) })
    }

    const replies = await Promise.all(
      times(200).map(async i => {
        const { key } = i % 2 ? crm : other
        const read = await gateway.request('/channels', { key })
        const send = await gateway.request(`/chats/whatsapp/100/${key.slice(5, 10)}/messages`, {
          method: 'POST',
          key,
          headers: { 'content-type': 'application/json', 'idempotency-key': `same-for-both-${i >> 1}` },
          body: '{"message":"Hello"}',
        })
        return { key, read, send }
      }),
    )

    const seen = (key: string) => [
      ...new Set(replies.filter(reply => reply.key === key).map(({ read }) => `${read.json.items[0].name} ${read.headers.etag}`)),
    ]
    expect(seen(crm.key)).toEqual([expect.stringMatching(/^of the first /)])
    expect(seen(other.key)).toEqual([expect.stringMatching(/^of the second /)])
    expect(seen(crm.key)[0]?.split('"')[1]).not.toBe(seen(other.key)[0]?.split('"')[1])
    expect(new Set(replies.map(({ send }) => send.status))).toEqual(new Set([201]))
    for (const [where, to] of [
      [sandbox, 'crm-k'],
      [elsewhere, 'other'],
    ] as const) {
      expect(where.sent).toHaveLength(100)
      expect(new Set(where.sent.map(({ destination }) => destination))).toEqual(new Set([to]))
    }
  })

  test('have nothing in common when the password of one is wrong', async ({ sandbox, start }) => {
    const { sandbox: elsewhere, account } = await second()
    const gateway = await start({ accounts: { other: { ...account, password: 'fake-wrong-password' } }, callers: { crm, other } })

    const wrong = await gateway.request('/channels', { key: other.key })
    const again = await Promise.all(times(20).map(() => gateway.request('/channels', { key: other.key })))
    const right = await gateway.request('/channels', { key: crm.key })

    expect([wrong, ...again].every(({ json }) => json.code === 'upstream-credentials-rejected')).toBe(true)
    expect(elsewhere.calls).toHaveLength(1)
    expect(right.status).toBe(200)
    expect(sandbox.calls).toHaveLength(1)
    expect((await gateway.get('/health/ready')).json).toMatchObject({ status: 'ready', credentials: 'rejected' })
  })

  test('have nothing in common when Afilnet does not answer one of them', async ({ start }) => {
    const { sandbox: elsewhere, account } = await second()
    const gateway = await start({
      accounts: { other: { ...account, connections: 2 } },
      callers: { crm, other },
    })
    const release = hold(elsewhere, { times: 1_000 })

    const stuck = times(40).map(i => gateway.request(`/chats/whatsapp/100/${i}/messages`, { key: other.key }))
    const served = await Promise.all(times(40).map(i => gateway.request(`/chats/whatsapp/100/${i}/messages`, { key: crm.key })))

    release()
    expect(new Set(statuses(served))).toEqual(new Set([answered]))
    expect(new Set(statuses(await Promise.all(stuck)))).toEqual(new Set([503, answered]))
  })
})

describe('Two callers of one account', () => {
  const crowded: StartOptions = { callers: { crm, bulk }, env: { AFILNET_CONNECTIONS: '4' } }
  const read = (i: number | string) => `/chats/whatsapp/100/${i}/messages`
  const callsFor = (sandbox: Sandbox) => sandbox.calls.map(({ params }) => new Map(params).get('destination') ?? '')

  test('share its places: one who comes late does not wait for all that came before', async ({ sandbox, start }) => {
    const gateway = await start(crowded)
    const release = hold(sandbox, { times: 4 })
    const flood = times(8).map(i => gateway.request(read(i), { key: bulk.key }))
    await arrived(gateway, 8)

    const late = ['a', 'b'].map(name => gateway.request(read(name), { key: crm.key }))
    await arrived(gateway, 10)
    release()
    const flooded = await Promise.all(flood)

    expect(statuses(await Promise.all(late))).toEqual([answered, answered])
    const order = callsFor(sandbox)
    expect(Math.max(order.indexOf('a'), order.indexOf('b')), 'first in, with the two places that are a half').toBeLessThan(7)
    expect(statuses(flooded).filter(status => status === answered).length).toBeGreaterThanOrEqual(6)
    for (const { status, json } of flooded)
      if (status !== answered) expect(json).toMatchObject({ code: 'overloaded', outcome: 'not_applied' })
  })

  test('do not keep each other out of a full queue, and the evicted caller gets an answer that nothing happened', async ({
    sandbox,
    start,
  }) => {
    const gateway = await start(crowded)
    const release = hold(sandbox, { times: 4 })
    const send = (to: string, key: string) =>
      gateway.request(`/chats/whatsapp/100/${to}/messages`, {
        method: 'POST',
        key,
        headers: { 'content-type': 'application/json', 'idempotency-key': to },
        body: '{"message":"Hello"}',
      })
    const flood = times(8).map(i => send(`bulk-${i}`, bulk.key))
    await expect.poll(async () => (await gateway.request('/sends?state=pending', { key: bulk.key })).json.items.length).toBe(8)

    const late = send('crm', crm.key)
    await gateway.logged(({ code }) => code === 'overloaded')
    release()
    const flooded = await Promise.all(flood)

    expect((await late).status).toBe(201)
    expect(statuses(flooded).sort()).toEqual([201, 201, 201, 201, 201, 201, 201, 503])
    const refused = flooded.find(({ status }) => status === 503)
    expect(refused?.json).toMatchObject({ code: 'overloaded', outcome: 'not_applied', retry: 'yes' })
    expect(sandbox.sent.map(({ destination }) => destination).sort()).toHaveLength(8)
    const { json } = await gateway.request(`/sends?state=not_sent`, { key: bulk.key })
    expect(json.items).toHaveLength(1)
  })

  test('leave each other alone when one is at its limit', async ({ sandbox, start }) => {
    const limited = { ...bulk, rateLimit: { requestsPerMinute: 1 } }
    const gateway = await start({ ...crowded, callers: { crm, bulk: limited } })

    const refused = Promise.all(times(200).map(i => gateway.request(read(i), { key: bulk.key })))
    await gateway.logged(({ code }) => code === 'rate-limited')
    const served = await Promise.all(times(4).map(i => gateway.request(read(`crm-${i}`), { key: crm.key })))

    expect(statuses(served)).toEqual([answered, answered, answered, answered])
    expect(statuses(await refused).filter(status => status === 429)).toHaveLength(199)
    expect(sandbox.calls).toHaveLength(5)
  })

  test('are not kept out by another whose calls take nearly the whole budget', async ({ sandbox, start }) => {
    const gateway = await start(crowded)
    const now = performance.now.bind(performance)
    let ahead = 0
    vi.spyOn(performance, 'now').mockImplementation(() => now() + ahead)
    onTestFinished(() => void vi.restoreAllMocks())
    for (const [tookMs, callers] of [
      [50_000, []], // from now on it is known how long they take
      [40_000, [crm]],
    ] as const) {
      const release = hold(sandbox, { times: 4 })
      const flood = times(4).map(i => gateway.request(read(i), { key: bulk.key }))
      await arrived(gateway, 4)
      const late = callers.map(({ key }) => gateway.request('/channels', { key }))
      await arrived(gateway, 4 + late.length)
      ahead += tookMs
      release()

      expect(statuses(await Promise.all(late))).toEqual(late.map(() => 200))
      await Promise.all(flood)
    }
  })

  test('that ask for the same do not share that there was no place for one of them', async ({ sandbox, start }) => {
    const gateway = await start(crowded)
    const release = hold(sandbox, { times: 4 })
    const flood = times(7).map(i => gateway.request(read(i), { key: bulk.key }))
    await arrived(gateway, 7)
    flood.push(gateway.request('/channels', { key: bulk.key }))
    await arrived(gateway, 8)

    const late = [gateway.request('/channels', { key: crm.key })]
    await arrived(gateway, 9)
    late.push(gateway.request(read('crm'), { key: crm.key })) // takes the place of the call that is shared
    await arrived(gateway, 10)
    release()
    const [shared, own] = await Promise.all(late)
    await Promise.all(flood)

    expect([shared?.status, own?.status]).toEqual([200, answered])
  })

  test('may each hold a key of the same name for another message', async ({ sandbox, start }) => {
    const gateway = await start(crowded)
    const send = (key: string, message: string) =>
      gateway.request(`${chat}/messages`, {
        method: 'POST',
        key,
        headers: { 'content-type': 'application/json', 'idempotency-key': 'order-1' },
        body: JSON.stringify({ message }),
      })

    const replies = [await send(crm.key, 'one'), await send(bulk.key, 'two'), await send(crm.key, 'one')]

    expect(statuses(replies)).toEqual([201, 201, 201])
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['one', 'two'])
  })
})
