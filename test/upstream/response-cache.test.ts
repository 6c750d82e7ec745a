import { describe, expect, test } from 'vitest'
import { getMessages } from '../../src/afilnet/operations.ts'
import { ResponseCache } from '../../src/upstream/response-cache.ts'

const bytes = Buffer.from(JSON.stringify({ status: 'SUCCESS', result: { list: [{ messageid: '1', message: 'Hello' }] } }))

function answers(freshMs: number, count: number) {
  const cache = new ResponseCache(freshMs)
  const entry = cache.entryOf('key')
  return Array.from({ length: count }, () => {
    const answer = cache.reuseIfEqual(entry, bytes)
    const { body } = answer.bodyFor(getMessages, { asked: {}, maxBodyBytes: 1_000_000 })
    cache.keep('key', entry, answer, 0)
    return body
  })
}

describe('A body that is kept', () => {
  test('from the second equal answer on keeps no other memory', () => {
    const [, second, third] = answers(0, 3)

    expect(second?.buffer.byteLength).toBe(second?.length)
    expect(third).toBe(second)
  })

  test('for READ_CACHE_MS keeps no other memory', () => {
    const [first] = answers(1_000, 1)

    expect(first?.buffer.byteLength).toBe(first?.length)
  })
})

test('Answers that are kept for READ_CACHE_MS take as much room as there is for them, the latest ones', () => {
  const cache = new ResponseCache(60_000)
  const keep = (key: number) => {
    const entry = cache.entryOf(String(key))
    cache.keep(String(key), entry, cache.reuseIfEqual(entry, Buffer.alloc(1_000_000, key)), 0)
  }
  for (let key = 0; key < 40; key++) keep(key)

  const kept = Array.from({ length: 40 }, (_, key) => cache.freshOf(cache.entryOf(String(key)), 0) !== undefined)
  expect(kept).toEqual([...Array(24).fill(false), ...Array(16).fill(true)])
})
