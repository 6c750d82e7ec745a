import { describe, expect } from 'vitest'
import { type TestGateway, sharedTest as test } from '../gateway.ts'
import { calls, type Method } from './calls.ts'

const lists = ['getchatchannels', 'getchats', 'getmessages', 'getunreadmessages'] as const satisfies Method[]
const messageLists = lists.slice(1)
const sends = ['sendmessage', 'sendfile'] as const satisfies Method[]

const success = (result: unknown) => JSON.stringify({ status: 'SUCCESS', result })
const read = (json: string) => `{"status":"SUCCESS","result":{"list":[${json}]}}`
const row = { platformid: '100', platform: 'whatsapp', name: 'Support', message: 'Hello', destination: '34600000000', messageid: '7' }

/** How many items each line of the log reports as skipped. */
const skippedIn = ({ log }: TestGateway) => log.filter(({ msg }) => String(msg).includes('skipped')).map(({ count }) => count)

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

  const empty = [
    { list: [] },
    { list: {} },
    { list: null },
    { list: false },
    { list: '' },
    { list: [null, '', []] },
    {},
    [],
    null,
    false,
    '',
    undefined,
  ]

  test.for(lists)('of %s is empty in each way of saying nothing', async (method, { gateway, sandbox }) => {
    for (const result of empty) {
      sandbox.answer({ method, body: success(result) })

      const { status, json } = await calls[method](gateway)

      expect({ status, json }, success(result)).toEqual({ status: 200, json: { items: [] } })
    }
  })

  const keyed = [
    '"10":{"messageid":"a"}',
    '"2":{"messageid":"b"}',
    '"x\\"{":{"messageid":"c"}',
    '"0":{"messageid":"d"}',
    '"2":{"messageid":"e"}',
  ]
  const around = (json: string) => [
    `{"status":"SUCCESS","result":{"list":${json}}}`,
    ` {"result" : {"more":{"list":{"1":{}}}, "list" :\n${json} , "next":{"messageid":"f"}},"status":"success"}\n`,
  ]

  test.for(around(`{${keyed.join()}}`))('keeps the order of Afilnet in %s', async (body, { gateway, sandbox }) => {
    sandbox.answer({ body })

    const { json } = await calls.getmessages(gateway)

    expect(json.items.map(({ messageId }: { messageId: string }) => messageId)).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test.for(lists)('of %s is delivered without the items that are not rows, and they are counted', async (method, { gateway, sandbox }) => {
    const items = [row, null, 1, 'a', true, [], row]
    for (const list of [items, { ...items }]) {
      sandbox.answer({ method, body: success({ list }) })

      const { status, json } = await calls[method](gateway)

      expect({ status, count: json.items.length }).toEqual({ status: 200, count: 2 })
    }
    expect(skippedIn(gateway)).toEqual([5, 5])
  })

  const none = [
    1,
    'none',
    true,
    [{}],
    { list: 'none' },
    { list: 7 },
    { list: row },
    { list: ['none'] },
    { list: [['100']] },
    { list: { row: [row, row] } },
  ]

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

describe('an answer', () => {
  test.for(lists)('of %s may begin with a byte order mark', async (method, { gateway, sandbox }) => {
    sandbox.answer({ method, body: `\ufeff${success({ list: [row] })}` })

    const { status, json } = await calls[method](gateway)

    expect({ status, count: json.items.length }).toEqual({ status: 200, count: 1 })
  })

  test('that names an error in lower case or with blanks is read like any other', async ({ gateway, sandbox }) => {
    for (const error of ['chat_not_found', ' CHAT_NOT_FOUND\r\n', 'Chat Not Found']) {
      sandbox.answer({ body: JSON.stringify({ status: ' error ', error }) })

      const { status, json } = await calls.getmessages(gateway)

      expect({ status, code: json.code, upstreamCode: json.upstreamCode }, error).toEqual({
        status: 404,
        code: 'chat-not-found',
        upstreamCode: 'CHAT_NOT_FOUND',
      })
    }
  })

  const twice = [
    '{"status":"SUCCESS","status":"SUCCESS"}',
    '{"status":"ERROR","error":"CHAT_NOT_FOUND","status":"SUCCESS"}',
    '{"status":"SUCCESS","result":{"list":[]},"\\u0073tatus":"ERROR"}',
    '{"status":"SUCCESS","result":{"list":[]},"x":{"y":[]},"status":"SUCCESS","z":{"w":[]}}',
    '{"status":"ERROR","error":"CHAT_NOT_FOUND","error":"NO_CREDITS"}',
    '{"status":"SUCCESS","result":{"list":[{}]},"result":{"list":[]}}',
  ]

  test.for([...lists, ...sends])('of %s that says twice what may be said once proves nothing', async (method, { gateway, sandbox }) => {
    for (const body of twice) {
      sandbox.answer({ method, body })

      const { status, json } = await calls[method](gateway)

      expect({ status, code: json.code }, body).toEqual({ status: 502, code: 'upstream-invalid-response' })
    }
  })

  test('with two lists has none', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: '{"status":"SUCCESS","result":{"list":[{}],"list":[]}}' })

    expect((await calls.getmessages(gateway)).json.code).toBe('upstream-invalid-response')
  })
})

describe('an answer that is not readable', () => {
  const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const reasons: [name: string, body: string | Uint8Array, reason: string, looks: string][] = [
    ['nothing', '', 'not JSON', 'empty'],
    ['a web page', '\n<!doctype html><title>34600000000</title>', 'not JSON', 'html'],
    ['a sentence', 'Fatal error: 34600000000', 'not JSON', 'text'],
    ['half of an answer', '{"status":"SUCCESS","result":{"list":[{"message":"34600000000', 'not JSON', 'json'],
    ['the usual answer with another end', '{"status":"SUCCESS","result":{"list":[]]]', 'not JSON', 'json'],
    ['brackets without an end', '['.repeat(200_000), 'nested too deep', 'json'],
    ['brackets in brackets', deep(100_000), 'nested too deep', 'json'],
    ['a deep row', read(`{"more":${deep(100_000)}}`), 'nested too deep', 'json'],
    ['a deep row with a long number', read(`{"more":${deep(100_000)},"messageid":9007199254740993}`), 'nested too deep', 'json'],
    ['a deep row after a long number', read(`{"messageid":9007199254740993},{"more":${deep(65)}}`), 'nested too deep', 'json'],
    ['an object too deep', read(`${'{"more":'.repeat(64)}{}${'}'.repeat(64)}`), 'nested too deep', 'json'],
    ['an array too deep', read(`{"more":${deep(64)}}`), 'nested too deep', 'json'],
    ['bytes that are not UTF-8', Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'not UTF-8', 'binary'],
    ['a compressed answer', Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), 'not UTF-8', 'binary'],
    ['another status', '{"status":"MAYBE"}', 'no usable status', 'json'],
  ]

  test.for(reasons)('is described in the log without its content: %s', async ([, body, reason, looks], { gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', body })

    const { status, json } = await calls.getmessages(gateway)

    expect({ status, code: json.code }).toEqual({ status: 502, code: 'upstream-invalid-response' })
    expect(gateway.log.find(({ msg }) => msg === 'answer of Afilnet is not readable')).toMatchObject({ reason, looks, bytes: body.length })
    expect(JSON.stringify(gateway.log)).not.toContain('34600000000')
    expect((await gateway.get('/chats/whatsapp/100')).status).toBe(200)
  })

  test.for([`${'{"more":'.repeat(63)}{}${'}'.repeat(63)}`, `{"more":${deep(63)}}`])(
    'is none of 64 levels in a row: %s',
    async (item, { gateway, sandbox }) => {
      sandbox.answer({ body: read(item) })

      const { json } = await calls.getmessages(gateway)

      expect(JSON.stringify(json.items[0].extra)).toBe(item)
    },
  )
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

    const nothing = {
      platform: null,
      platformId: null,
      destination: null,
      messageId: null,
      message: null,
      sent: null,
      direction: null,
      status: null,
    }
    expect(json.items).toEqual([
      { ...nothing, datetime: null },
      { ...nothing, datetime: null },
    ])
  })

  test('of a channel that is missing or null is null, but a channel without an address is none', async ({ gateway, sandbox }) => {
    const { platform, platformid } = row
    const without = [{}, { platform: null, platformid }, { platform, platformid: null }, { platform, platformid: {} }, { platformid }]
    sandbox.answer({ body: success({ list: [...without, { platform, platformid }, { platform, platformid, name: null }] }) })

    const { json } = await calls.getchatchannels(gateway)

    const nameless = { platform, platformId: platformid, name: null }
    expect(json.items).toEqual([nameless, nameless])
    expect(skippedIn(gateway)).toEqual([5])
  })

  test.for(lists)('of %s that is a number becomes text, digit for digit', async (method, { gateway, sandbox }) => {
    const ids = ['7', '-7', '100', '9007199254740991', '9007199254740993', '123456789012345678901234567890', '1e400']
    const [field, name] = method === 'getchatchannels' ? ['platformid', 'platformId'] : ['messageid', 'messageId']
    sandbox.answer({ method, body: read(ids.map(id => `{"platform":"whatsapp","${field}":${id}}`).join()) })

    const { json } = await calls[method](gateway)

    expect(json.items.map((item: Record<string, unknown>) => item[name])).toEqual(ids)
  })

  test.for(lists)('of %s that has half of a surrogate pair gets U+FFFD in its place', async (method, { gateway, sandbox }) => {
    const text = String.raw`\ud83d\ude00 \uD83D \udE00 \\ud800`
    const [field, name] = method === 'getchatchannels' ? ['name', 'name'] : ['message', 'message']
    sandbox.answer({
      method,
      body: read(`{"platform":"whatsapp","platformid":"100","${field}":"${text}","more":["\\udfff",{"\\ud800":1}]}`),
    })

    const { json, text: raw } = await calls[method](gateway)

    expect(json.items[0][name]).toBe('😀 \ufffd \ufffd \\ud800')
    if (method !== 'getchatchannels') expect(json.items[0].extra).toEqual({ more: ['\ufffd', { '\ufffd': 1 }] })
    expect(raw).not.toMatch(/(?<!\\)\\ud/)
  })

  test.for(['d83d', 'D83D'])('has no half of a surrogate pair where %s is the only one', async (half, { gateway, sandbox }) => {
    sandbox.answer({ body: read(`{"message":"\\u${half}"}`) })

    expect((await calls.getmessages(gateway)).text).toContain('"\ufffd"')
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

  test('keeps the digits of numbers that the manual does not name, in a list too', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: read('{"messageid":"7","agents":[7,[9007199254740993],[7]],"more":{"n":7}}') })

    const { json } = await calls.getmessages(gateway)

    expect(json.items[0].extra).toEqual({ agents: [7, ['9007199254740993'], [7]], more: { n: 7 } })
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
