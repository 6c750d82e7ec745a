import { describe, expect } from 'vitest'
import { test } from '../gateway.ts'
import { calls, type Method } from './calls.ts'

const lists = ['getchatchannels', 'getchats', 'getmessages', 'getunreadmessages'] as const satisfies Method[]
const messageLists = lists.slice(1)
const sends = ['sendmessage', 'sendfile'] as const satisfies Method[]

const success = (result: unknown) => JSON.stringify({ status: 'SUCCESS', result })
const row = { platformid: '100', platform: 'whatsapp', name: 'Support', message: 'Hello', destination: '34600000000', messageid: '7' }

describe('a list of Afilnet', () => {
  const withOne = [{ list: [row] }, { list: { 0: row } }, { list: { last: row } }]

  test.for(lists)('of %s can be an array or an object', async (method, { gateway, sandbox }) => {
    for (const result of withOne) {
      sandbox.answer({ method, body: success(result) })

      const { status, json } = await calls[method](gateway)

      expect(status).toBe(200)
      expect(json.items).toMatchObject([{ platform: 'whatsapp', platformId: '100' }])
    }
  })

  const empty = [{ list: [] }, { list: {} }, { list: null }, {}, [], null, undefined]

  test.for(lists)('of %s is empty in each way of saying nothing', async (method, { gateway, sandbox }) => {
    for (const result of empty) {
      sandbox.answer({ method, body: success(result) })

      const { status, json } = await calls[method](gateway)

      expect({ status, json }, success(result)).toEqual({ status: 200, json: { items: [] } })
    }
  })

  test('keyed by index keeps the order of its indexes', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: '{"status":"SUCCESS","result":{"list":{"10":{"messageid":"c"},"2":{"messageid":"b"},"0":{"messageid":"a"}}}}' })

    const { json } = await calls.getmessages(gateway)

    expect(json.items.map(({ messageId }: { messageId: string }) => messageId)).toEqual(['a', 'b', 'c'])
  })

  const none = [1, 'none', true, [{}], { list: 'none' }, { list: 7 }, { list: ['a'] }, { list: [null] }, { list: { 0: [] } }]

  test.for(lists)('of %s that is none is not taken for an empty one', async (method, { gateway, sandbox }) => {
    for (const result of none) {
      sandbox.answer({ method, body: success(result) })

      const { status, json } = await calls[method](gateway)

      expect({ status, code: json.code }, success(result)).toEqual({ status: 502, code: 'upstream-invalid-response' })
    }
  })
})

describe('the status of an answer', () => {
  test.for([...lists, ...sends])('of %s may have any case', async (method, { gateway, sandbox }) => {
    for (const word of ['SUCCESS', 'success', 'Success']) {
      sandbox.answer({ method, body: JSON.stringify({ status: word }) })

      const { status } = await calls[method](gateway)

      expect(status).toBe(method.startsWith('send') ? 201 : 200)
    }
  })

  const odd = [{}, { status: null }, { status: 1 }, { status: 'OK' }, { status: ['SUCCESS'] }, { error: 'CHAT_NOT_FOUND' }, 'SUCCESS']

  test.for(sends)('of %s that is missing or odd proves nothing', async (method, { gateway, sandbox }) => {
    for (const answer of odd) {
      sandbox.answer({ method, body: JSON.stringify(answer) })

      const { json } = await calls[method](gateway)

      expect(json, JSON.stringify(answer)).toMatchObject({
        status: 502,
        code: 'upstream-invalid-response',
        outcome: 'unknown',
        retry: 'no',
      })
    }
  })
})

describe('the result of a send', () => {
  test.for(sends)('by %s may be anything', async (method, { gateway, sandbox }) => {
    for (const result of [[], {}, null, '', '1', 1, true, { taken: '1' }, [1, 2], undefined]) {
      sandbox.answer({ method, body: success(result) })

      const { status, json } = await calls[method](gateway)

      expect({ status, state: json.state }, success(result)).toEqual({ status: 201, state: 'accepted' })
    }
  })
})

describe('a field of a row', () => {
  const read = (json: string) => `{"status":"SUCCESS","result":{"list":[${json}]}}`

  const eitherName = messageLists.flatMap(method => [[method, 'sent'] as const, [method, 'issent'] as const])

  test.for(eitherName)('of %s says as %s who wrote', async ([method, name], { gateway, sandbox }) => {
    const yes = ['1', '"1"', 'true', '"true"', '"TRUE"']
    const no = ['0', '"0"', 'false', '"false"', '"False"']
    const odd = ['2', '"yes"', '""', 'null', '-1', '"sent"', '0.5']
    sandbox.answer({ method, body: read([...yes, ...no, ...odd].map(value => `{"${name}":${value}}`).join()) })

    const { json } = await calls[method](gateway)

    const sent = json.items.map((item: { sent: unknown }) => item.sent)
    expect(sent).toEqual([...yes.map(() => true), ...no.map(() => false), ...odd.map(() => null)])
  })

  test.for(messageLists)('of %s that is missing or null is null', async (method, { gateway, sandbox }) => {
    const names = ['platformid', 'platform', 'message', 'destination', 'messageid', 'sent', 'issent', 'status', 'datetime']
    const nulls = Object.fromEntries(names.map(name => [name, null]))
    sandbox.answer({ method, body: success({ list: [{}, nulls] }) })

    const { json } = await calls[method](gateway)

    const nothing = { platform: null, platformId: null, destination: null, messageId: null, message: null, sent: null, status: null }
    expect(json.items).toEqual([
      { ...nothing, datetime: null },
      { ...nothing, datetime: null },
    ])
  })

  test('of a channel that is missing or null is null', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: success({ list: [{}, { platform: null, platformid: null, name: null }] }) })

    const { json } = await calls.getchatchannels(gateway)

    const nothing = { platform: null, platformId: null, name: null }
    expect(json.items).toEqual([nothing, nothing])
  })

  test.for(lists)('of %s that is a number becomes text, digit for digit', async (method, { gateway, sandbox }) => {
    const ids = ['7', '-7', '100', '9007199254740991', '9007199254740993', '123456789012345678901234567890']
    sandbox.answer({ method, body: read(ids.map(id => `{"platformid":${id}}`).join()) })

    const { json } = await calls[method](gateway)

    expect(json.items.map(({ platformId }: { platformId: string }) => platformId)).toEqual(ids)
  })

  test('keeps its text as it is', async ({ gateway, sandbox }) => {
    const message = '9007199254740993 <b>&amp;</b> \u0000 \u2028 👍 "\\'
    sandbox.answer({ body: success({ list: [{ ...row, message, status: 'leído', datetime: 'soon' }] }) })

    const { json } = await calls.getmessages(gateway)

    expect(json.items).toMatchObject([{ message, status: 'leído', datetime: 'soon' }])
  })

  test.for(messageLists)('of %s that the manual does not name is in `extra`', async (method, { gateway, sandbox }) => {
    const extra = '{"id_agent":7,"big":"9007199254740993","tags":["a",{"b":null}],"__proto__":{"polluted":true},"constructor":"c","":1}'
    sandbox.answer({ method, body: read(`{"messageid":"7",${extra.slice(1)}`) })

    const { json } = await calls[method](gateway)

    expect(json.items[0]).toMatchObject({ messageId: '7' })
    expect(JSON.stringify(json.items[0].extra)).toBe(extra)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test('with a structure instead of a text is null, and the structure is in `extra`', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: success({ list: [{ messageid: '7', message: { text: 'Hello' } }] }) })

    const { json } = await calls.getmessages(gateway)

    expect(json.items).toMatchObject([{ messageId: '7', message: null, extra: { message: { text: 'Hello' } } }])
  })

  test('carries no `extra` where there is none', async ({ gateway }) => {
    const { json } = await calls.getmessages(gateway)

    expect(json.items.length).toBeGreaterThan(0)
    for (const item of json.items) expect(item).not.toHaveProperty('extra')
  })
})
