import fc from 'fast-check'
import { expect, test } from 'vitest'
import { quoteLargeNumbers } from '../../src/lib/json-large-numbers.ts'

test.for([
  ['9007199254740991', '9007199254740991'],
  ['9007199254740993', '"9007199254740993"'],
  ['[-9007199254740993, 1]', '["-9007199254740993", 1]'],
  ['{"9007199254740993":9007199254740993,"a":1e400,"b":-1E+999}', '{"9007199254740993":"9007199254740993","a":"1e400","b":"-1E+999"}'],
  ['[1e20,12345678901234567.5,0.1]', '[1e20,12345678901234567.5,0.1]'],
  [String.raw`["\"9007199254740993","\\",9007199254740993]`, String.raw`["\"9007199254740993","\\","9007199254740993"]`],
] as const)('puts a string in the place of each number that a double cannot hold: %s', ([json, quoted]) => {
  expect(quoteLargeNumbers(json)).toBe(quoted)
})

test('leaves any JSON without such numbers as it is', () => {
  fc.assert(
    fc.property(fc.json(), fc.integer({ min: 0, max: 2 }), (json, space) => {
      const text = JSON.stringify(
        JSON.parse(json),
        (_, value) => (typeof value === 'number' && !Number.isSafeInteger(value) ? 0 : value),
        space,
      )
      expect(quoteLargeNumbers(text)).toBe(text)
    }),
  )
})
