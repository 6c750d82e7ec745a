import { describe, expect } from 'vitest'
import type { Webhooks } from '../../src/webhooks/webhooks.ts'
import { eventually, settled, test } from './setup.ts'

const bad = ['a1', 'b1', 'c1', 'd1', 'e1']
const isBad = (messageId: string | null) => bad.includes(messageId ?? '')
const stateOf = async (webhooks: Webhooks) => (await webhooks.list('main'))[0]?.state
const failedIn = async (webhooks: Webhooks) =>
  (await webhooks.deliveries('main', 'crm', { state: 'failed', limit: 20 })).items.map(({ destination }) => destination)

describe('five events that the endpoint refuses', () => {
  test('at the head of five conversations hold up no other one, and have failed once others were accepted', async ({
    append,
    clock,
    receiver,
    webhooks,
  }) => {
    receiver.answer = ({ event }) => (isBad(event.messageId) ? 422 : 204)
    await append(...bad)
    await eventually(async () => expect(await stateOf(webhooks)).toBe('paused'))
    await append('a2', 'b2', 'f1')
    await eventually(() => {
      clock.advance(1_000)
      expect(receiver.taken).toContain('f1')
    })
    await eventually(async () => {
      clock.advance(500)
      expect(await failedIn(webhooks)).toEqual(['a', 'b', 'c', 'd', 'e'])
    })

    await eventually(() => {
      clock.advance(500)
      expect(receiver.taken.toSorted()).toEqual(['a2', 'b2', 'f1'])
    })
    expect(await stateOf(webhooks)).toBe('ok')
  })

  test('and nothing else have failed after a test that was accepted', async ({ append, clock, receiver, webhooks }) => {
    receiver.answer = ({ event }) => (isBad(event.messageId) ? 400 : 204)
    await append(...bad)
    await eventually(async () => expect(await stateOf(webhooks)).toBe('paused'))
    const attempts = receiver.posts.length
    await eventually(() => {
      clock.advance(60_000)
      expect(receiver.posts.length).toBeGreaterThan(attempts + 20)
    })
    expect(await failedIn(webhooks)).toEqual([])
    expect(await webhooks.test('main', 'crm')).toMatchObject({ status: 204 })

    await eventually(async () => {
      clock.advance(500)
      expect(await failedIn(webhooks)).toEqual(['a', 'b', 'c', 'd', 'e'])
    })
  })

  test('and everything else, for an hour, lose nothing: it was the secret', async ({ append, clock, receiver, webhooks }) => {
    receiver.answer = () => 400
    const all = [...bad, 'a2', 'b2', 'f1', 'g1', 'h1', 'i1', 'j1']
    await append(...all)
    for (let minutes = 0; minutes < 60; minutes++) {
      const before = receiver.posts.length
      await eventually(() => {
        clock.advance(1_000)
        expect(receiver.posts.length).toBeGreaterThan(before)
      })
      clock.advance(60_000)
    }
    expect(await failedIn(webhooks)).toEqual([])
    expect(new Set(receiver.posts.map(({ event }) => event.messageId)).size).toBe(10) // each conversation was tried
    receiver.answer = () => 204
    await eventually(() => {
      clock.advance(1_000)
      expect(receiver.taken.toSorted()).toEqual(all.toSorted())
    })
    for (const chat of ['a', 'b']) expect(receiver.taken.indexOf(`${chat}1`)).toBeLessThan(receiver.taken.indexOf(`${chat}2`))
  })

  test('pause the webhook at the first of them, though more than five were in flight', async ({
    append,
    clock,
    live,
    receiver,
    webhooks,
  }) => {
    const waiting: (() => void)[] = []
    receiver.answer = () => response => void waiting.push(() => response.writeHead(400).end())
    await append(...'abcdefghijkl'.split('').map(chat => `${chat}1`))
    await eventually(() => expect(waiting).toHaveLength(8))
    receiver.answer = () => 400
    for (const refuse of waiting) refuse()
    await eventually(async () => expect(await stateOf(webhooks)).toBe('paused'))
    await settled(receiver, live)
    receiver.answer = () => 204
    await eventually(() => {
      clock.advance(1_000)
      expect(receiver.taken).toHaveLength(12)
    })

    expect(receiver.taken[0]).toBe('a1')
  })
})
