import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findJsonIssue } from '../../src/lib/json-issue.ts'

describe('The first issue of a JSON text', () => {
  test.for([
    ['{"a":1,}', 1, 8, 'unexpected }'],
    ['{"a" 1}', 1, 6, 'expected a colon'],
    ['{"a":1 "b":2}', 1, 8, 'expected a comma'],
    ['{a:1}', 1, 2, 'unexpected text'],
    ['{1:1}', 1, 2, 'expected a key in double quotes'],
    ["{'a':1}", 1, 2, 'strings need double quotes'],
    ['{"a":"x', 1, 6, 'a string is not closed'],
    ['{"a":1', 1, 7, 'the text ends too early'],
    ['{"a":"x\ny"}', 1, 8, 'a string contains a raw line break; write \\n'],
    ['{"a":"x\ry"}', 1, 8, 'a string contains a raw line break; write \\n'],
    ['{"a":"x\ty"}', 1, 8, 'a string contains a raw control character; escape it'],
    ['{"a":"\\q"}', 1, 7, 'unknown escape in a string'],
    ['{"a":1} {}', 1, 9, 'there is more text after the value'],
    ['{\n  "a": 1,\n  "a": 2\n}', 3, 3, 'a key occurs twice in one object'],
    ['{"a":1,"\\u0061":2}', 1, 8, 'a key occurs twice in one object'],
    ['[01]', 1, 2, 'unexpected text'],
    ['[1]]', 1, 4, 'unexpected ]'],
    ['{"a":NaN}', 1, 6, 'unexpected text'],
  ] as const)('%j is in line %i, column %i: %s', ([text, line, column, issue]) => {
    expect(findJsonIssue(text)).toEqual({ line, column, issue })
  })

  test('is none in the control characters that JSON allows', () => {
    expect(findJsonIssue('"\x7f\x80\x85\x9f"')).toBeUndefined()
  })

  test('is none where two objects have the same key', () => {
    expect(findJsonIssue('{"a":{"a":[{"a":1},{"a":2}]},"b":"a"}')).toBeUndefined()
  })

  test('is none 100,000 levels deep, and one where a level is not closed', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)

    expect(findJsonIssue(deep)).toBeUndefined()
    expect(findJsonIssue(deep.slice(1))?.issue).toBe('unexpected ]')
  })

  test('is there exactly where JSON.parse fails', () => {
    const agrees = (text: string) => {
      let fails = false
      try {
        JSON.parse(text)
      } catch {
        fails = true
      }
      const found = findJsonIssue(text)
      if (found?.issue !== 'a key occurs twice in one object') expect(found !== undefined, text).toBe(fails)
    }
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"\\n"',
      '"\\',
      '"',
      '1',
      '-0',
      '01',
      '1.5e+3',
      '1.',
      'true',
      'nul',
      ' ',
      '\n',
      'ñ',
      '\u007f',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), parts => agrees(parts.join(''))),
      { numRuns: 5_000 },
    )
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.string({ maxLength: 1 }), (text, at, other) => {
        agrees(text)
        agrees(text.slice(0, at % (text.length + 1)) + other + text.slice(at % (text.length + 1)))
      }),
      { numRuns: 1_000 },
    )
  })
})
