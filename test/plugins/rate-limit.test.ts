import { describe, expect } from 'vitest'
import { type Reply, test } from '../gateway.ts'
import { issue, sayWith, told } from '../tokens/issuing.ts'

const chat = '/chats/whatsapp/100/34600000000'
const limited = { key: 'fake-limited-key-0123456789', rateLimit: { requestsPerMinute: 3 } }
const free = { key: 'fake-free-key-0123456789' }
const statuses = (replies: Reply[]) => replies.map(({ status }) => status)
const times = (count: number) => Array.from({ length: count }, (_, i) => i)
const seconds = (header: unknown) => Number(/;t=(\d+)$/.exec(String(header))?.[1])

describe('Requests per minute', () => {
  test('are counted for each caller, and what is over is not processed', async ({ start, sandbox }) => {
    const gateway = await start({ callers: { limited, free } })

    const replies = []
    for (const _ of times(5)) replies.push(await gateway.request('/channels', { key: limited.key }))
    const others = await Promise.all(times(10).map(() => gateway.request('/me', { key: free.key })))

    expect(statuses(replies)).toEqual([200, 200, 200, 429, 429])
    expect(statuses(others)).toEqual(times(10).map(() => 200))
    expect(sandbox.calls).toHaveLength(3)
    expect(replies[3]?.json).toMatchObject({ code: 'rate-limited', outcome: 'not_applied', retry: 'yes' })
  })

  test('are in the headers of the current draft, with every answer', async ({ start }) => {
    const gateway = await start({ callers: { limited, free } })

    const replies = []
    for (const path of ['/channels', '/nowhere-with-a-key', '/me', '/me', '/me'])
      replies.push(await gateway.request(path, { key: limited.key }))
    const [first, unknown, second, third, over] = replies.map(({ headers }) => headers)
    const other = await gateway.request('/me', { key: free.key })

    for (const headers of [first, second, third, over]) expect(headers?.['ratelimit-policy']).toBe('"requests";q=3;w=60')
    expect([first, second, third, over].map(headers => /^"requests";r=(\d);t=\d+$/.exec(String(headers?.ratelimit))?.[1])).toEqual([
      '2',
      '1',
      '0',
      '0',
    ])
    expect(Number(over?.['retry-after'])).toBe(seconds(over?.ratelimit))
    expect(seconds(over?.ratelimit)).toBeGreaterThan(30)
    expect(unknown?.ratelimit, 'an unknown path belongs to no caller').toBeUndefined()
    expect(Object.keys(other.headers).filter(name => /ratelimit/i.test(name))).toEqual([])
    expect(Object.keys(over ?? {}).filter(name => /^x-ratelimit|^ratelimit-(limit|remaining|reset)/i.test(name))).toEqual([])
  })

  test('can be those of the one caller of the environment', async ({ start }) => {
    const gateway = await start({ env: { RATE_LIMIT_PER_MINUTE: '2' } })

    const replies = []
    for (const _ of times(3)) replies.push(await gateway.get('/me'))

    expect(statuses(replies)).toEqual([200, 200, 429])
    expect(replies[0]?.json.rateLimit).toEqual({ requestsPerMinute: 2 })
  })

  test('count what a caller may not do, too', async ({ start }) => {
    const gateway = await start({ callers: { limited: { ...limited, scopes: [] } } })

    const replies = []
    for (const _ of times(4)) replies.push(await gateway.request('/channels', { key: limited.key }))

    expect(statuses(replies)).toEqual([403, 403, 403, 429])
  })
})

describe('Requests of a token', () => {
  test('are 120 a minute, each token’s own, and count against its issuer', async ({ start, sandbox }) => {
    const issuer = { key: 'fake-issuer-key-0123456789', rateLimit: { requestsPerMinute: 200 } }
    const gateway = await start({ callers: { issuer } })
    const [one, other] = [await issue(gateway, {}, issuer.key), await issue(gateway, {}, issuer.key)] // two requests of the issuer

    const replies = await Promise.all(times(130).map(() => gateway.request('/channels', { key: one })))
    expect(replies.filter(({ status }) => status === 403)).toHaveLength(120)
    const over = replies.filter(({ status }) => status === 429)
    expect(over).toHaveLength(10)
    expect(over[0]).toMatchObject({ json: { code: 'rate-limited', retry: 'yes' }, headers: { 'ratelimit-policy': '"token";q=120;w=60' } })
    expect(Number(over[0]?.headers['retry-after'])).toBeGreaterThan(30)

    const { headers } = await gateway.request('/me', { key: other })
    expect(headers['ratelimit-policy']).toBe('"token";q=120;w=60, "requests";q=200;w=60')
    expect(headers.ratelimit).toMatch(/^"token";r=119;t=\d+, "requests";r=77;t=\d+$/)
    const more = await Promise.all(times(80).map(() => gateway.request('/me', { key: other })))
    expect(statuses(more).filter(status => status === 429)).toHaveLength(3)
    expect(statuses(await Promise.all([gateway.request('/me', { key: issuer.key })]))).toEqual([429])
    const free = await gateway.request('/me', { key: await issue(gateway, {}) })
    expect(free.headers).toMatchObject({
      'ratelimit-policy': '"token";q=120;w=60',
      ratelimit: expect.stringMatching(/^"token";r=119;t=\d+$/),
    })
    expect(sandbox.calls).toEqual([])
  })

  test('count against the sends that the issuer has for a day', async ({ start, sandbox }) => {
    const issuer = { key: 'fake-issuer-key-0123456789', rateLimit: { sendsPerDay: 2 } }
    const gateway = await start({ callers: { issuer } })
    const tokens = await Promise.all(['alice', 'bob', 'carol'].map(actor => issue(gateway, { actor }, issuer.key)))

    const replies = []
    for (const token of tokens) replies.push(await sayWith(gateway, token, 'k'))
    expect(replies.map(told)).toEqual([
      [201, undefined],
      [201, undefined],
      [429, 'send-quota-exceeded'],
    ])
    expect(sandbox.sent).toHaveLength(2)
  })
})

describe('Sends per day', () => {
  const sender = { key: 'fake-sender-key-0123456789', rateLimit: { sendsPerDay: 2 } }
  const send = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"message":"Hello"}', key: sender.key }

  test('are those that Afilnet took or may have taken', async ({ start, sandbox }) => {
    const gateway = await start({ callers: { sender } })
    const to = (destination: string, key?: string) =>
      gateway.request(`/chats/whatsapp/100/${destination}/messages`, {
        ...send,
        headers: { ...send.headers, ...(key !== undefined && { 'idempotency-key': key }) },
      })

    const replies = [
      await to('CHANNEL_NOT_FOUND'),
      await to('NO_CREDITS'),
      await to('34600000000', 'first'),
      await to('34600000000', 'first'),
      await to('html', 'second'),
      await to('html', 'second'),
      await to('34600000000', 'third'),
      await to('34600000000', 'third'),
      await to('34600000000', 'first'),
    ]

    expect(statuses(replies)).toEqual([404, 503, 201, 201, 502, 502, 429, 429, 201])
    expect(replies[6]?.json).toMatchObject({ code: 'send-quota-exceeded', outcome: 'not_applied', retry: 'yes' })
    expect(replies[6]?.json.sendId).toBeUndefined()
    const untilMidnight = 86_400 - (Math.floor(Date.now() / 1000) % 86_400)
    const retryAfter = Number(replies[6]?.headers['retry-after'])
    expect((retryAfter - untilMidnight + 86_400) % 86_400).toBeLessThan(60)
    expect(replies[6]?.headers).toMatchObject({ 'ratelimit-policy': '"sends";q=2;w=86400', ratelimit: `"sends";r=0;t=${retryAfter}` })
    expect(sandbox.calls.filter(({ params }) => params.some(([, value]) => value === 'sendmessage'))).toHaveLength(4)
    const { json } = await gateway.request('/sends', { key: sender.key })
    expect(json.items.map(({ state }: { state: string }) => state)).toEqual(['unknown', 'accepted', 'not_sent', 'rejected'])
  })

  test('are never more, however many come at once', async ({ start, sandbox }) => {
    const gateway = await start({ callers: { sender } })

    const replies = await Promise.all(times(20).map(() => gateway.request(`${chat}/messages`, send)))

    expect(statuses(replies).filter(status => status === 201)).toHaveLength(2)
    expect(statuses(replies).filter(status => status === 429)).toHaveLength(18)
    expect(sandbox.sent).toHaveLength(2)
  })

  test('leave reads alone', async ({ start }) => {
    const gateway = await start({ callers: { sender } })
    await Promise.all(times(3).map(() => gateway.request(`${chat}/messages`, send)))

    const read = await gateway.request(`${chat}/messages`, { key: sender.key })

    expect(read.status).toBe(200)
  })
})

describe('An address', { timeout: 60_000 }, () => {
  test('that guesses keys is refused in the end, and the valid key behind it never', async ({ start }) => {
    const expired = { key: 'fake-expired-key-0123456789', expires: '2020-01-31T00:00:00Z' }
    const gateway = await start({ callers: { free, expired } })
    const guess = (i: number) => gateway.request('/me', { key: `fake-guess-${i}-0123456789` })

    const guesses = await Promise.all(times(1_000).map(guess))
    const last = await guess(1_000)
    const valid = [
      await gateway.request('/me', { key: free.key }),
      await gateway.request('/sends/nothing', { key: free.key }),
      await gateway.request('/nowhere', { key: free.key }),
      await gateway.request(`${chat}/messages`, {
        key: free.key,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{',
      }),
    ]
    const open = [await gateway.request('/health/ready', { key: null }), await gateway.request('/problems/not-found', { key: null })]

    expect(statuses(guesses).filter(status => status === 401)).toHaveLength(900)
    expect(statuses(guesses).filter(status => status === 429)).toHaveLength(100)
    expect(last).toMatchObject({
      status: 429,
      headers: { 'ratelimit-policy': '"mistakes";q=900;w=60' },
      json: { code: 'rate-limited', retry: 'yes' },
    })
    expect(last.headers['www-authenticate']).toBeUndefined()
    expect(statuses(valid)).toEqual([200, 404, 404, 400])
    expect((await gateway.request('/nowhere', { key: expired.key })).status).toBe(429)
    expect(statuses(open)).toEqual([200, 200])
  })

  test.for([
    ['what no URL can be', '/%zz', 400],
    ['the files of others', '/media/guess/menu.jpg', 404],
  ] as const)('that asks for %s is refused in the end as well', async ([, path, mistake], { gateway }) => {
    const replies = await Promise.all(times(901).map(() => gateway.request(path, { key: null })))

    expect(statuses(replies).filter(status => status === 429)).toHaveLength(1)
    expect(statuses(replies).filter(status => status === mistake)).toHaveLength(900)
    expect(await gateway.raw('no HTTP at all\r\n\r\n')).toMatch(/^HTTP\/1.1 429 /)
    const metrics = async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()
    await expect.poll(metrics).toContain('gateway_rate_limited_total{limit="mistakes"} 2')
    expect(await metrics()).toContain('gateway_rate_limited_total{limit="requests"} 0')
  })

  /** How many of 901 wrong keys are answered 429, where each request says that it comes from another address. */
  async function refusals(gateway: { request(path: string, options: object): Promise<Reply> }, from: (i: number) => string) {
    const replies = await Promise.all(
      times(901).map(i => gateway.request('/me', { key: 'fake-guess-0123456789abc', headers: { 'x-forwarded-for': from(i) } })),
    )
    return statuses(replies).filter(status => status === 429).length
  }

  test('cannot be forged by a peer that is not trusted', async ({ start }) => {
    const gateway = await start({ env: { TRUST_PROXY: '192.0.2.0/24' } })

    expect(await refusals(gateway, i => `198.51.100.${i % 250}`)).toBe(1)
  })

  test('is that which a trusted proxy saw, not what its client made up', async ({ start }) => {
    const gateway = await start({ env: { TRUST_PROXY: '127.0.0.0/8' } })

    expect(await refusals(gateway, i => `203.0.113.${i % 250}, 198.51.100.7`)).toBe(1)
    expect(await refusals(gateway, i => `198.51.${i % 250}.${i % 7}`)).toBe(0)
  })

  test('of IPv6 is a block of 64 bits', async ({ start }) => {
    const gateway = await start({ env: { TRUST_PROXY: '127.0.0.1' } })

    expect(await refusals(gateway, i => `2001:db8:1:2:${i.toString(16)}::1`)).toBe(1)
    expect(await refusals(gateway, i => `2001:db8:2:${i.toString(16)}::1`)).toBe(0)
    expect(await refusals(gateway, i => (i % 2 ? '::ffff:198.51.100.9' : '198.51.100.9'))).toBe(1)
    expect(await refusals(gateway, i => `198.51.100.10:${1_024 + i}`)).toBe(1)
  })

  test('may be no address at all, and the answer is still 401', async ({ start }) => {
    const gateway = await start({ env: { TRUST_PROXY: '127.0.0.1' } })

    for (const forged of ['unknown', '', 'fe80::1%eth0', '::1%25x', '1.2.3.4:80', '[::1]', ',,,', 'x'.repeat(4_000), '::ffff:999.1.1.1']) {
      const reply = await gateway.request('/me', { key: null, headers: { 'x-forwarded-for': forged } })

      expect(reply.status, forged).toBe(401)
    }
  })
})
