import { describe, expect } from 'vitest'
import { eventually, message, nothingPending, settled, takes, test } from './setup.ts'

const ids = (posts: readonly { event: { messageId: string | null } }[]) => posts.map(({ event }) => event.messageId)

describe('a webhook', () => {
  test('gets each event once, signed, in order, from its start on', async ({ append, live, receiver, start }) => {
    await append('a1', 'b1')
    await start()
    await append('a2', 'a3', 'a4')
    await eventually(() => expect(receiver.taken).toEqual(['a2', 'a3', 'a4']))
    await settled(receiver, live)

    expect(receiver.posts).toHaveLength(3)
    expect(receiver.posts[0]?.id).toBe(receiver.posts[0]?.event.id)
    expect(receiver.posts[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': expect.stringMatching(/^afilnet-gateway\//),
    })
  })

  test('goes on where it was after a restart', async ({ append, receiver, start }) => {
    const first = await start()
    await append('a1')
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await first.stop()
    await append('a2')
    await start()

    await eventually(() => expect(receiver.taken).toEqual(['a1', 'a2']))
  })

  test('gets the types and chats of its filter, and every gap', async ({ live, append, receiver, start }) => {
    await start({ types: ['message.created'], chats: ['whatsapp/100/a*'] })
    await live.log.append('main', {
      events: [
        message('b1'),
        message('a1', { type: 'message.updated' }),
        message('a1'),
        message('x', { type: 'gap', platform: null, platformId: null, destination: null, messageId: null, reason: 'whole' }),
        message('x', { type: 'gap', platformId: '200', destination: null, messageId: null, reason: 'elsewhere' }),
        message('x', { type: 'gap', destination: null, messageId: null, reason: 'channel' }),
      ],
    })
    await append('a2')
    await eventually(() => expect(receiver.taken).toContain('a2'))

    expect(receiver.posts.map(({ event }) => event.reason ?? event.messageId)).toEqual(['a1', 'whole', 'channel', 'a2'])
  })

  test('gets a gap of the whole log after what is before it, and before what follows', async ({ live, receiver, start }) => {
    await start()
    const waiting: (() => void)[] = []
    receiver.answer = () => response => void waiting.push(() => response.writeHead(204).end())
    const gap = message('x', { type: 'gap', platform: null, platformId: null, destination: null, messageId: null, reason: 'whole' })
    await live.log.append('main', { events: [message('a1'), gap, message('b1')] })

    for (const told of [['a1'], ['a1', 'whole'], ['a1', 'whole', 'b1']]) {
      await eventually(() => expect(waiting).toHaveLength(1))
      await settled(receiver, live)
      expect(receiver.posts.map(({ event }) => event.reason ?? event.messageId)).toEqual(told)
      waiting.pop()?.()
    }
  })

  test('gets at most eight at a time, and never two of one conversation', async ({ append, live, receiver, start }) => {
    await start()
    const waiting: (() => void)[] = []
    receiver.answer = () => response => void waiting.push(() => response.writeHead(204).end())
    await append(...'abcdefghij'.split('').flatMap(chat => [`${chat}1`, `${chat}2`]))
    await eventually(() => expect(receiver.posts).toHaveLength(8))
    await settled(receiver, live)

    expect(ids(receiver.posts).sort()).toEqual(['a1', 'b1', 'c1', 'd1', 'e1', 'f1', 'g1', 'h1'])
    receiver.answer = () => 204
    for (const answer of waiting) answer()
    await eventually(() => expect(receiver.posts).toHaveLength(20))
    expect(receiver.mostOpen).toBe(8)
  })

  test.for([0, 1])('is signed with both secrets, for a receiver that knows number %i', async (known, { append, receiver, start }) => {
    const secrets = [`whsec_${Buffer.alloc(32, 1).toString('base64')}`, `whsec_${Buffer.alloc(32, 2).toString('base64')}`]
    receiver.secret = secrets[known] ?? ''
    await start({ secrets })
    await append('a1')

    await eventually(() => expect(receiver.taken).toEqual(['a1']))
  })
})

describe('an endpoint that is down', () => {
  test.for([301, 401, 403, 404, 408, 409, 425, 429, 500, 503])(
    'answers %i: the webhook pauses and resumes with the same event',
    async (status, { append, clock, live, receiver, webhooks }) => {
      receiver.answer = () => status
      await append('a1', 'b1')
      await eventually(() => expect(receiver.posts.length).toBeGreaterThan(0))
      await settled(receiver, live)
      const before = receiver.posts.length

      expect(await webhooks.list('main')).toMatchObject([{ state: 'paused', lastError: `the endpoint answered ${status}` }])
      clock.advance(4_000)
      await settled(receiver, live)
      expect(receiver.posts).toHaveLength(before)
      receiver.answer = () => 200
      clock.advance(2_000)
      await eventually(() => expect(receiver.taken.toSorted()).toEqual(['a1', 'b1']))
      expect(receiver.taken[0]).toBe('a1')
      expect(await webhooks.list('main')).toMatchObject([{ state: 'ok' }])
    },
  )

  test('is tried again after 5, 10, 20, 40, 60 and 60 seconds, one event at a time', async ({
    append,
    clock,
    live,
    receiver,
    webhooks: _,
  }) => {
    receiver.answer = () => 500
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    await append('b1', 'c1')
    for (const [n, seconds] of [5, 10, 20, 40, 60, 60].entries()) {
      await settled(receiver, live)
      clock.advance(seconds * 1_000 - 1)
      await settled(receiver, live)
      expect(receiver.posts, `before ${seconds} s`).toHaveLength(n + 1)
      clock.advance(1)
      await eventually(() => expect(receiver.posts, `after ${seconds} s`).toHaveLength(n + 2))
    }

    expect(new Set(ids(receiver.posts))).toEqual(new Set(['a1']))
  })

  test('is tried again although the clock was set back meanwhile, and pauses anew', async ({ append, clock, live, receiver, webhooks }) => {
    receiver.answer = () => 500
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    await settled(receiver, live)
    clock.jump(-3_600_000)
    clock.advance(5_000)
    await eventually(() => expect(receiver.posts).toHaveLength(2))
    await settled(receiver, live)
    clock.advance(9_999)
    await settled(receiver, live)

    expect(receiver.posts).toHaveLength(2)
    receiver.answer = () => 204
    clock.advance(1)
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'ok' }]))
  })

  test('stays paused although it accepts what was on its way before', async ({ append, live, receiver, webhooks }) => {
    const early = Promise.withResolvers<void>()
    receiver.answer = ({ event }) =>
      event.messageId === 'a1' ? response => void early.promise.then(() => response.writeHead(204).end()) : 503
    await append('a1', 'b1')
    await eventually(() => expect(webhooks.report()).toMatchObject([{ state: 'paused' }]))
    early.resolve()
    await settled(receiver, live)

    expect(webhooks.report()).toMatchObject([{ state: 'paused' }])
    expect(receiver.posts).toHaveLength(2)
  })

  test.for([
    ['120', 120],
    ['3600', 600],
    ['9999999999', 600],
  ] as const)('is given the time of Retry-After: %s', async ([retryAfter, seconds], { append, clock, live, receiver, webhooks: _ }) => {
    receiver.answer = () => response => void response.writeHead(503, { 'retry-after': retryAfter }).end()
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    await settled(receiver, live)
    clock.advance(seconds * 1_000 - 1)
    await settled(receiver, live)

    expect(receiver.posts).toHaveLength(1)
    clock.advance(1)
    await eventually(() => expect(receiver.posts).toHaveLength(2))
  })

  test.for([
    ['hangs', (): void => {}, 'no answer within 0.2 s', 200],
    [
      'resets',
      (response: { socket: { resetAndDestroy(): void } | null }) => response.socket?.resetAndDestroy(),
      'the connection was reset',
      5_000,
    ],
  ] as const)('that %s: the webhook pauses', async ([, answer, lastError, timeoutMs], { append, clock, receiver, start }) => {
    const webhooks = await start({}, { timeoutMs })
    receiver.answer = () => answer as never
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused', lastError }]))
    receiver.answer = () => 204

    await eventually(() => {
      clock.advance(6_000)
      expect(receiver.taken).toContain('a1')
    })
  })

  test('shows how the last attempt ended, and nothing of those before', async ({ append, clock, receiver, webhooks }) => {
    const shows = async (last: object) => {
      await eventually(async () => {
        clock.advance(2_000)
        const { items } = await webhooks.deliveries('main', 'crm', { limit: 1 })
        expect(items).toEqual([expect.objectContaining({ state: 'pending', ...last })])
      })
    }
    receiver.answer = () => 500
    await append('a1')
    await shows({ lastStatus: 500 })
    receiver.answer = () => response => response.socket?.resetAndDestroy()
    await shows({ lastError: 'the connection was reset' })
    expect((await webhooks.deliveries('main', 'crm', { limit: 1 })).items).not.toHaveProperty('0.lastStatus')
    receiver.answer = () => 503
    await shows({ lastStatus: 503 })
    expect((await webhooks.deliveries('main', 'crm', { limit: 1 })).items).not.toHaveProperty('0.lastError')
  })

  test('is not followed elsewhere, and what it says is not read to its end', async ({ append, live, receiver, webhooks }) => {
    let written = 0
    receiver.answer = ({ event }) => {
      if (event.messageId === 'b1') return 204
      return response => {
        response.writeHead(200)
        const more = () => {
          if (!response.destroyed && response.write(Buffer.alloc(65_536))) setImmediate(more)
          written += 65_536
        }
        response.on('drain', more).on('error', () => {})
        more()
      }
    }
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    await append('b1')
    await eventually(() => expect(receiver.taken).toEqual(['b1']))
    await settled(receiver, live)

    expect(receiver.posts).toHaveLength(2)
    expect(written).toBeLessThan(20_000_000)
    expect(await webhooks.list('main')).toMatchObject([{ state: 'ok', lag: 0 }])
  })

  test('with 410 disables the webhook until the process starts again', async ({ append, clock, live, receiver, start }) => {
    const webhooks = await start()
    receiver.answer = () => 410
    await append('a1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'disabled' }]))
    receiver.answer = () => 204
    clock.advance(600_000)
    await settled(receiver, live)

    expect(receiver.posts).toHaveLength(1)
    await webhooks.stop()
    await start()
    await eventually(() => expect(receiver.taken).toEqual(['a1']))
  })
})

describe('an event that is refused', () => {
  test('is attempted five times, while its conversation waits and others go on; then it has failed', async ({
    append,
    clock,
    live,
    receiver,
    webhooks,
  }) => {
    receiver.answer = ({ event }) => (event.messageId === 'a1' ? 422 : 204)
    await append('a1', 'a2', 'b1')
    await eventually(() => expect(receiver.taken).toEqual(['b1']))
    for (const [n, seconds] of [1, 2, 4, 8].entries()) {
      await settled(receiver, live)
      expect(ids(receiver.posts).filter(id => id === 'a1')).toHaveLength(n + 1)
      expect(receiver.taken).not.toContain('a2')
      clock.advance(seconds * 1_000)
      await eventually(() => expect(ids(receiver.posts).filter(id => id === 'a1')).toHaveLength(n + 2))
    }
    await eventually(() => expect(receiver.taken).toEqual(['b1', 'a2']))
    clock.advance(1_000)

    await eventually(async () => {
      clock.advance(200)
      expect((await webhooks.deliveries('main', 'crm', { limit: 10 })).items).toMatchObject([
        { type: 'message.created', destination: 'a', state: 'failed', attempts: 5, lastStatus: 422 },
      ])
    })
    expect(await webhooks.list('main')).toMatchObject([{ state: 'ok' }])
  })

  test('is attempted again although the clock was set back meanwhile', async ({ append, clock, live, receiver, webhooks: _ }) => {
    receiver.answer = () => 422
    await append('a1')
    await eventually(() => expect(receiver.posts).toHaveLength(1))
    await settled(receiver, live)
    receiver.answer = () => 204
    clock.jump(-3_600_000)
    clock.advance(1_000)

    await eventually(() => expect(receiver.taken).toEqual(['a1']))
  })

  test('five times in a row with no delivery between: the endpoint is to blame, and none has failed', async ({
    append,
    clock,
    live,
    receiver,
    webhooks,
  }) => {
    receiver.answer = () => 400
    await append('a1', 'b1', 'c1', 'd1', 'e1', 'f1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    await settled(receiver, live)
    receiver.answer = () => 204
    clock.advance(6_000)
    await eventually(() => expect(receiver.taken.toSorted()).toEqual(['a1', 'b1', 'c1', 'd1', 'e1', 'f1']))

    expect(receiver.taken[0]).toBe('a1')
    await nothingPending(webhooks, clock)
  })

  test('five times in a row with no delivery between: each is tried after a pause, until one is accepted', async ({
    append,
    clock,
    receiver,
    webhooks,
  }) => {
    receiver.answer = () => 400
    await append('a1', 'b1', 'c1', 'd1', 'e1')
    await eventually(async () => expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }]))
    receiver.answer = ({ event }) => (event.messageId === 'd1' ? 204 : 400)

    await takes(receiver, clock, 'd1')
  })

  test('one after the other in one conversation: what had failed is delivered after all', async ({ append, clock, receiver, webhooks }) => {
    receiver.answer = () => 400
    await append('a1', 'a2', 'a3', 'a4', 'a5')
    await eventually(async () => {
      clock.advance(500)
      expect(await webhooks.list('main')).toMatchObject([{ state: 'paused' }])
    })
    expect((await webhooks.deliveries('main', 'crm', { limit: 10 })).items.length).toBeGreaterThan(0)
    receiver.answer = () => 204
    await takes(receiver, clock, 'a1', 'a2', 'a3', 'a4', 'a5')
    await nothingPending(webhooks, clock)
  })
})
