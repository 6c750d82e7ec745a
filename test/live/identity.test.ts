import { describe, expect, test } from 'vitest'
import { messageIdOf, startAt } from '../../src/live/conversation.ts'
import { digestOf, findMessage, rowOf } from '../../src/live/identity.ts'
import { readMark, readState, writeState } from '../../src/live/state-text.ts'

const secret = Buffer.alloc(32, 1)
const message = { messageId: '7', message: 'Hello', sent: false, status: 'unread', datetime: '2026-01-01 10:00:00' }

describe('The digest of a row', () => {
  test('follows datetime, sent and text, and depends on the key', () => {
    const digests = [
      message,
      { ...message, message: 'Hello!' },
      { ...message, sent: true },
      { ...message, sent: null },
      { ...message, datetime: null },
    ].map(each => digestOf(each, secret))

    expect(new Set([...digests, digestOf(message, Buffer.alloc(32, 2))]).size).toBe(6)
    expect(digestOf({ ...message, status: 'read', messageId: null }, secret)).toBe(digests[0])
  })
})

describe('A row', () => {
  test.for([null, '', '0'])('with %j for an id has none', messageId => {
    expect(rowOf({ ...message, messageId }, secret).id).toBe(null)
  })
})

describe('The message of an event', () => {
  const nameless = { ...message, messageId: null, message: 'Nameless' }

  test('is found again by its id, or by its content if it has none', () => {
    const derived = messageIdOf(startAt(rowOf(nameless, secret)).messages[0] as never)

    expect(findMessage('7', [nameless, message], secret)).toBe(message)
    expect(findMessage(derived, [message, nameless], secret)).toBe(nameless)
  })

  test('is not found where the list does not hold it', () => {
    expect(findMessage('8', [message], secret)).toBe(undefined)
    expect(findMessage(`row-${digestOf(nameless, secret)}-1`, [message], secret)).toBe(undefined)
  })
})

describe('A stored state', () => {
  test('gives its mark without being read', () => {
    const text = writeState({ mark: 'aB-_9', readAt: 1, conversation: startAt(rowOf(message, secret)) })

    expect(readMark(text)).toBe('aB-_9')
    expect(readState(text).mark).toBe('aB-_9')
    expect(text).not.toContain('Hello')
  })
})
