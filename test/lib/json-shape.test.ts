import { describe, expect, test } from 'vitest'
import { shapeOf } from '../../src/lib/json-shape.ts'

describe('The shape of JSON', () => {
  test.for([
    ['', 0, 0, 0],
    ['"[{"', 0, 0, 0],
    ['{"a":"\\"[{,{"}', 1, 0, 1],
    ['[{} , {"a":{}},\n{}]', 3, 3, 5],
    ['[[[[', 4, 0, 4],
    ['{"a":{"b":{}},"c":{}}', 3, 2, 4],
    ['{"a":{"b":[ {}, {}]}}', 4, 3, 5],
    ['[1,[2],{"a":[{"b":1}]}]', 4, 2, 5],
  ] as const)('%j: depth %i, objects in arrays %i, objects and arrays %i', ([json, depth, items, structures]) => {
    expect(shapeOf(Buffer.from(json), 2)).toEqual({ depth, items, structures })
  })
})
