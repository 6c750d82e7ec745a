import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UpstreamError } from '../../src/afilnet/faults.ts'
import { operations } from '../../src/afilnet/operations.ts'
import { render } from '../../src/upstream/list-body.ts'

const lists = operations.filter(({ kind }) => kind !== 'send')
const asked = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const names = ['platform', 'platformid', 'destination', 'messageid', 'message', 'sent', 'status', '__proto__', 'constructor', '2', '1']

/** Any JSON value as text, with what JSON.stringify never writes: long and odd numbers, escapes, lone surrogates, repeated names. */
const json: fc.Arbitrary<string> = fc.letrec<{ value: string }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(
      'null',
      'true',
      'false',
      '""',
      '0',
      '-0',
      '1e3',
      '1e400',
      '9007199254740993',
      '"\\ud800"',
      '"\\u0000"',
      '"whatsapp"',
      '"100"',
    ),
    fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
    fc.array(tie('value')).map(items => `[${items.join()}]`),
    fc
      .array(fc.tuple(fc.constantFrom(...names), tie('value')))
      .map(members => `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`),
  ),
})).value

/** What is answered, or the error; any other throw fails the test. */
function read(operation: (typeof lists)[number], bytes: Uint8Array, asked = {}) {
  try {
    const { body, skipped } = render(operation, bytes, { asked, maxBodyBytes: 1_000_000 })
    return { items: JSON.parse(Buffer.from(body).toString()).items as Record<string, unknown>[], skipped }
  } catch (error) {
    if (error instanceof UpstreamError) return error
    throw error
  }
}

describe('Any answer', () => {
  test('of bytes is a list or an error of Afilnet, never a crash', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      json.map(text => new TextEncoder().encode(text)),
    )
    fc.assert(
      fc.property(fc.constantFrom(...lists), bytes, (operation, bytes) => void read(operation, bytes, asked)),
      { numRuns: 500 },
    )
  })

  test('with a list that has a row has as many items as it delivers and skips', () => {
    const list = fc
      .array(json, { maxLength: 8 })
      .map(items => [...items, '{}'])
      .chain(items => fc.constantFrom([items, `[${items.join()}]`] as const, [items, keyed(items)] as const))
    fc.assert(
      fc.property(fc.constantFrom(...lists), list, fc.constantFrom('', ' '), (operation, [items, list], blank) => {
        const found = read(operation, Buffer.from(`{"status":"SUCCESS","result":{"list":${blank}${list}}}`))

        if (found instanceof UpstreamError) throw found
        expect(found.items.length + found.skipped).toBe(items.length)
      }),
      { numRuns: 500 },
    )
  })

  test('is delivered only if no row names another chat', () => {
    const spelling = (value: string) => fc.constantFrom(JSON.stringify(value), JSON.stringify(` ${value}`), 'null')
    const row = fc.record({ platform: spelling('whatsapp'), platformid: spelling('100'), destination: spelling('34600000000') })
    const foreign = fc.constantFrom({ platform: '"telegram"' }, { platformid: '101' }, { destination: '"0034600000000"' })
    const write = (row: object) => `{${Object.entries(row).map(([name, value]) => `"${name}":${value}`)}}`
    fc.assert(
      fc.property(fc.array(row), fc.option(foreign), fc.nat(), (rows, other, at) => {
        const all = other
          ? rows.toSpliced(at % (rows.length + 1), 0, { platform: 'null', platformid: 'null', destination: 'null', ...other })
          : rows
        const bytes = Buffer.from(`{"status":"SUCCESS","result":{"list":[${all.map(write)}]}}`)
        const found = read(lists[2] as (typeof lists)[number], bytes, asked)

        expect(found instanceof UpstreamError ? found.foreignField !== undefined : false).toBe(other !== null)
      }),
      { numRuns: 300 },
    )
  })
})

/** The items as an object whose names JavaScript would sort, and some of which are there twice. */
function keyed(items: readonly string[]) {
  return `{${items.map((item, i) => `"${(items.length - i) >> 1}":${item}`).join()}}`
}
