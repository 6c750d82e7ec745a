import { describe, expect, test } from 'vitest'
import { shapeOf } from '../../src/lib/json-shape.ts'

describe('The shape of JSON', () => {
  test.for([
    ['', 0, 0],
    ['"[{"', 0, 0],
    ['{"a":"\\"[{,{"}', 1, 0],
    ['[{} , {"a":{}},\n{}]', 3, 3],
    ['[[[[', 4, 0],
    ['{"a":{"b":{}},"c":{}}', 3, 2],
    ['[1,[2],{"a":[{"b":1}]}]', 4, 2],
  ] as const)('%j: depth %i, objects in arrays %i', ([json, depth, items]) => {
    expect(shapeOf(Buffer.from(json), 2)).toEqual({ depth, items })
  })
})
