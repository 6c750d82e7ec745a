import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fingerprintOf, markOf, newestOf, rowsByDestination } from '../../src/live/chat-rows.ts'
import type { Message } from '../../src/live/ports.ts'

const message: Message = {
  destination: '34600000000',
  messageId: '7',
  message: 'Hello',
  sent: false,
  direction: 'in',
  status: 'unread',
  datetime: '2026-01-01 10:00:00',
}
const text = fc.option(fc.string())
const row = fc.record({ messageId: text, message: text, status: text, datetime: text, sent: fc.option(fc.boolean()) })

describe('The mark and the fingerprint of a row', () => {
  test('are equal exactly where all that the row shows is equal', () => {
    fc.assert(
      fc.property(row, row, (one, other) => {
        const [a, b] = [
          { ...message, ...one },
          { ...message, ...other },
        ]
        const isEqual =
          JSON.stringify([a.messageId, a.sent, a.status, a.datetime, a.message]) ===
          JSON.stringify([b.messageId, b.sent, b.status, b.datetime, b.message])
        return (
          (markOf(a, 'key') === markOf(b, 'key')) === isEqual &&
          (fingerprintOf(a) === fingerprintOf(b)) === isEqual &&
          fingerprintOf(a) === fingerprintOf({ ...a }) &&
          Number.isSafeInteger(fingerprintOf(a))
        )
      }),
    )
  })

  test('tell fields apart, and the mark depends on the key', () => {
    const moved = { ...message, messageId: '7unread', status: '' }

    expect(fingerprintOf(moved)).not.toBe(fingerprintOf({ ...message, messageId: '7', status: 'unread' }))
    expect(markOf(message, 'key')).not.toBe(markOf(message, 'other key'))
  })
})

describe('The rows of getchats', () => {
  test('are found by their normalized destination; one without a destination is left out', () => {
    const rows = rowsByDestination({ platform: 'whatsapp', platformId: '100' }, [
      { ...message, destination: ' +34 600-000-000 ' },
      { ...message, destination: null },
      { ...message, destination: ' ' },
    ])

    expect([...rows.keys()]).toEqual(['34600000000'])
  })

  test('have a newest datetime, unless none has one', () => {
    const newer = { ...message, datetime: '2026-01-02 09:00:00' }

    expect(newestOf([message, newer, { ...message, datetime: null }])).toBe(newer.datetime)
    expect(newestOf([{ ...message, datetime: null }])).toBe(null)
  })
})
