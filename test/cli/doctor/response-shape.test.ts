import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { getChatChannels, getMessages, type Operation } from '../../../src/afilnet/operations.ts'
import { describeShape, type Question } from '../../../src/cli/doctor/response-shape.ts'

const bytesOf = (answer: unknown) => Buffer.from(typeof answer === 'string' ? answer : JSON.stringify(answer))

/** What an answer shows about one question, in order. */
const seen = (question: Question, answer: unknown, operation: Operation = getMessages) =>
  describeShape(operation, bytesOf(answer))
    .filter(one => one.question === question)
    .map(({ of, seen }) => (of === undefined ? seen : `${of}: ${seen}`))

const list = (...rows: unknown[]) => ({ status: 'SUCCESS', result: { list: rows } })

describe('describeShape', () => {
  test.for([
    ['upper case', 'SUCCESS'],
    ['lower case', 'success'],
    ['mixed case', 'Success'],
    ['another word', 'fine'],
    ['boolean', true],
    ['missing', undefined],
  ] as const)('sees %s in the status', ([word, status]) => {
    expect(seen('status', { status, result: [] })).toEqual([word])
  })

  test.for([
    ['JSON, object', '{}'],
    ['JSON, object', '\uFEFF{}'],
    ['JSON, array', '[1]'],
    ['JSON, null', 'null'],
    ['nothing', ' \n'],
    ['not JSON, looks like HTML or XML', '\n<html>'],
    ['not JSON', 'status=SUCCESS'],
  ] as const)('sees %s in the body', ([what, body]) => {
    expect(seen('body', body)).toEqual([what])
  })

  test('sees how the bytes are written', () => {
    const encodings = ['{}', '\uFEFF{}'].map(body => seen('encoding', body))

    expect(encodings).toEqual([['UTF-8'], ['UTF-8 with a byte order mark']])
    expect(describeShape(getMessages, Buffer.from([0x7b, 0xff, 0x7d]))[0]).toEqual({ question: 'encoding', seen: 'not UTF-8' })
  })

  test.for([
    ['array', [{}]],
    ['empty array', []],
    ['object keyed by index', { 0: {}, 1: {} }],
    ['object keyed by numbers', { 34600000000: {} }],
    ['object', { last: {} }],
    ['empty object', {}],
    ['null', null],
    ['missing', undefined],
    ['string', 'none'],
    ['array with items that are no rows', [{}, 'x']],
  ] as const)('sees that the list is: %s', ([kind, found]) => {
    expect(seen('list', { status: 'SUCCESS', result: { list: found } })).toEqual([kind])
  })

  test.for([
    ['empty array', []],
    ['numeric string', '1'],
    ['null', null],
    ['missing', undefined],
  ] as const)('sees that the result is: %s', ([kind, result]) => {
    expect(seen('result', { status: 'SUCCESS', result })).toEqual([kind])
    expect(seen('rows', { status: 'SUCCESS', result })).toEqual([])
  })

  test('sees no result in an error', () => {
    expect(seen('result', { status: 'ERROR', error: 'CHAT_NOT_FOUND' })).toEqual([])
  })

  test('tells the types of the documented fields, row by row', () => {
    const rows = [
      { platformid: '100', platform: 'whatsapp', name: 'Support' },
      { platformid: 12345678901234567890n, platform: '', name: null },
      { platformid: 1.5, platform: ['x'] },
    ]
    const text = `{"status":"SUCCESS","result":{"list":[${rows
      .map(row => JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? '@' : value)).replace('"@"', '12345678901234567890'))
      .join()}]}}`

    expect(seen('field', text, getChatChannels)).toEqual([
      'platformid: numeric string',
      'platform: string',
      'name: string',
      'platformid: number beyond 2^53',
      'platform: empty string',
      'name: null',
      'platformid: number',
      'platform: array',
      'name: missing',
    ])
  })

  test.for([
    ['sent "1"', { sent: '1' }],
    ['sent 0', { sent: 0 }],
    ['sent true', { sent: true }],
    ['sent "False"', { sent: 'False' }],
    ['issent "1"', { issent: '1' }],
    ['issent 1', { sent: null, issent: 1 }],
    ['sent string', { sent: 'maybe' }],
    ['sent number', { sent: 7 }],
    ['sent empty object', { sent: {} }],
    ['null', { sent: null }],
    ['missing', {}],
  ] as const)('sees %s', ([what, row]) => {
    expect(seen('sent', list(row))).toEqual([what])
    expect(seen('extra', list(row))).toEqual([])
  })

  test.for([
    ['yyyy-mm-dd hh:mm:ss', '2026-01-31 09:30:00'],
    ['9999-99-99T99:99:99+99:99', '2026-01-31T09:30:00+02:00'],
    ['99/99/9999 99:99', '31/01/2026 09:30'],
    ['9999999999', 1769851800],
    ['string', '31 January'],
    ['string', '9 o’clock'],
    ['string', `1${' '.repeat(40)}`],
    ['empty string', ''],
    ['null', null],
  ] as const)('sees a datetime as %s', ([format, datetime]) => {
    expect(seen('datetime', list({ datetime }))).toEqual([format])
  })

  test('names what the manual does not, where a program could have named it', () => {
    const row = { platform: 'viber', colour: 'red', __proto: 1, 34600000000: 'x', 'a b': {} }

    expect(seen('platform', list(row, { platform: '34600000000' }, { platform: 'WhatsApp' }, { platform: 7 }))).toEqual([
      'viber',
      '(not shown)',
      '(not shown)',
    ])
    expect(seen('extra', list(row))).toEqual(['colour: string', '__proto: number', '(not shown): string', '(not shown): empty object'])
  })

  test.for([
    ['ascending', [1, 2, 2, 10]],
    ['descending', ['10', '9']],
    ['in no order', [1, 3, 2]],
    ['all the same', [4, 4]],
    ['descending', ['100000000000000000001', '100000000000000000000']],
  ] as const)('sees ids %s', ([order, ids]) => {
    expect(seen('order', list(...ids.map(messageid => ({ messageid }))))).toEqual([`messageid: ${order}`])
  })

  test.for([[[]], [['1']], [['1', null]], [['1', 'a']], [[{}, {}]]] as const)('sees no order in %j', ([ids]) => {
    expect(seen('order', list(...ids.map(messageid => ({ messageid }))))).toEqual([])
  })

  test('sees the order of datetimes', () => {
    const at = ['2026-01-02 00:00:00', '2026-01-01 00:00:00'].map(datetime => ({ datetime }))

    expect(seen('order', list(...at))).toEqual(['datetime: descending'])
  })

  test('takes anything, and never tells a value', () => {
    const word = 'Señal 34699'
    const value = fc.letrec(tie => ({
      any: fc.oneof({ depthSize: 'small' }, fc.constant(word), fc.constant(null), fc.integer(), tie('list'), tie('row')),
      list: fc.array(tie('any'), { maxLength: 4 }),
      row: fc.dictionary(fc.constantFrom(...getMessages.row, 'issent', 'list', 'status', 'result', word), tie('any'), { maxKeys: 9 }),
    })).any
    const answer = fc.oneof(
      value,
      fc.record({ status: fc.constantFrom('SUCCESS', 'ERROR', word), result: value }),
      fc.record({ status: fc.constant('SUCCESS'), result: fc.record({ list: value }) }),
    )

    fc.assert(
      fc.property(answer, fc.constantFrom(getMessages, getChatChannels), (answer, operation) => {
        const reported = JSON.stringify(describeShape(operation, bytesOf(answer)))
        expect(reported).not.toContain('34699')
      }),
    )
  })
})
