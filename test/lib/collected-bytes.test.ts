import { describe, expect, test } from 'vitest'
import { CollectedBytes } from '../../src/lib/collected-bytes.ts'

const chunks = ['a', 'b', 'c'].map(letter => Buffer.alloc(10_000, letter))

/** The body of these chunks, and the memory that it takes. */
function collect(expectedSize: number, maxCapacity: number) {
  const body = new CollectedBytes()
  body.expectedSize = expectedSize
  for (const chunk of chunks) body.append(chunk, maxCapacity)
  const bytes = body.take()
  return { bytes, capacity: bytes.buffer.byteLength }
}

describe('A body', () => {
  test.for([
    ['not announced', 0],
    ['announced too short', 5],
    ['announced as it is', 30_000],
    ['announced too long', 1e12],
  ] as const)('whose length is %s is whole', ([, expectedSize]) => {
    expect(collect(expectedSize, 1_000_000).bytes.equals(Buffer.concat(chunks))).toBe(true)
  })

  test('takes no more memory than it may, whatever it announces', () => {
    expect(collect(1e12, 40_000).capacity).toBe(40_000)
    expect(collect(30_000, 1_000_000).capacity).toBe(30_000)
  })
})
