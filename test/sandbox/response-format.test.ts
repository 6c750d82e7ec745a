import { describe, expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import type { Shape } from '../../src/sandbox/response-format.ts'
import { answerTo, call, chat, test } from './client.ts'

type Row = Record<string, unknown>

const first = async (sandbox: Sandbox, method: string, params = chat): Promise<Row | undefined> =>
  (await answerTo(sandbox, call(sandbox, method, params))).result.list[0]

describe('rows', () => {
  test('have the documented fields, all strings', async ({ sandbox }) => {
    const row = await first(sandbox, 'getmessages')

    expect(Object.keys(row ?? {}).sort()).toEqual(
      ['datetime', 'destination', 'message', 'messageid', 'platform', 'platformid', 'sent', 'status'].sort(),
    )
    expect(row).toMatchObject({ ...chat, sent: '1', datetime: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/) })
    expect(await first(sandbox, 'getunreadmessages')).toMatchObject({ issent: '0' })
  })

  test.for([
    [{ ids: 'number' }, { platformid: 100, destination: 34600000000, messageid: expect.any(Number), platform: 'whatsapp' }],
    [{ sent: 'number' }, { sent: 1 }],
    [{ sent: 'boolean' }, { sent: true }],
    [{ sent: 'word' }, { sent: 'true' }],
    [{ sentName: 'issent' }, { issent: '1' }],
    [{ extra: { agent: 'ana', nested: { a: [1] } } }, { agent: 'ana', nested: { a: [1] } }],
    [{ nulls: ['sent', 'message'] }, { sent: null, message: null }],
  ] satisfies [Partial<Shape>, Row][])('as %j', async ([shape, row], { sandbox }) => {
    sandbox.shape(shape)

    expect(await first(sandbox, 'getmessages')).toMatchObject(row)
  })

  test('lose a field', async ({ sandbox }) => {
    sandbox.shape({ omit: ['datetime'] })

    expect(await first(sandbox, 'getmessages')).not.toHaveProperty('datetime')
  })

  test.for(['007', '9007199254740992'])('keep an id as text that a number cannot hold: %s', async (destination, { sandbox }) => {
    sandbox.shape({ ids: 'number' })
    await answerTo(sandbox, call(sandbox, 'sendmessage', { ...chat, destination, message: 'x' }))

    expect(await first(sandbox, 'getmessages', { ...chat, destination })).toMatchObject({ platformid: 100, destination })
  })
})

describe('a list', () => {
  const none = { ...chat, destination: 'html' }
  const listed = (sandbox: Sandbox, params = none) => {
    sandbox.answer({ delayMs: 1 })
    return answerTo(sandbox, call(sandbox, 'getmessages', params))
  }

  test.for([
    ['array', { list: [] }],
    ['object', { list: {} }],
    ['empty-object', { list: {} }],
    ['null', { list: null }],
    ['absent', {}],
  ] as const)('that is empty, as %s', async ([list, result], { sandbox }) => {
    sandbox.shape({ list })

    expect(await listed(sandbox)).toEqual({ status: 'SUCCESS', result })
  })

  test('that is not empty is keyed by index only as an object', async ({ sandbox }) => {
    sandbox.shape({ list: 'object' })
    expect(await listed(sandbox, chat)).toMatchObject({ result: { list: { '0': chat, '1': chat, '2': chat } } })

    sandbox.shape({ list: 'null' })
    expect(await listed(sandbox, chat)).toMatchObject({ result: { list: [chat, chat, chat] } })
  })
})

describe('an envelope', () => {
  const send = (sandbox: Sandbox) => answerTo(sandbox, call(sandbox, 'sendmessage', { ...chat, message: 'x' }))

  test.for([
    ['absent', {}],
    ['null', { result: null }],
    ['scalar', { result: '1' }],
    ['object', { result: { taken: '1' } }],
  ] as const)('of a send, as %s', async ([result, members], { sandbox }) => {
    sandbox.shape({ result })

    expect(await send(sandbox)).toEqual({ status: 'SUCCESS', ...members })
  })

  test('in lower case, until the reset', async ({ sandbox }) => {
    sandbox.shape({ status: 'lower' })
    expect(await send(sandbox)).toMatchObject({ status: 'success' })
    expect(await answerTo(sandbox, {})).toMatchObject({ status: 'error' })

    sandbox.reset()
    expect(await send(sandbox)).toMatchObject({ status: 'SUCCESS' })
  })
})
