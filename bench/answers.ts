import type { Message } from '../src/routes/messages.ts'

/** The account whose credentials every target must add to a call. */
export const account = { user: 'bench@example.com', password: 'fake-bench-password' }

/** Conversations by what the stub makes of them; the rest of a destination's digits is free. */
export const conversations = {
  /** The same answer 20 times, then one with a new last message. */
  steady: '3460',
  /** No answer is like another. */
  changing: '3470',
  /** As steady, 20 ms later. */
  late: '3480',
  /** Afilnet does not know it. */
  missing: '3490',
} as const

export const sameInARow = 20

/** Destinations of one kind. */
export const destinations = (kind: keyof typeof conversations, count: number) =>
  Array.from({ length: count }, (_, i) => `${conversations[kind]}${String(i).padStart(7, '0')}`)

const texts = [
  'Hello, is the order that I made on Monday on its way?',
  'It left this morning and will be with you tomorrow before noon',
  '¿Está abierto mañana por la tarde?',
  'Yes, until eight; come to the desk at the back and ask for Núria',
  'Thank you: https://shop.example/r/4711',
]

const rows = 20
/** Stands where a changing answer has its 12 digits. */
const stampMark = '#'.repeat(12)

/** A conversation's rows as Afilnet would name and type them, the newest last. */
const rowsOf = (destination: string) =>
  Array.from({ length: rows }, (_, i) => ({
    platformid: '100',
    platform: 'whatsapp',
    message: texts[i % texts.length] ?? '',
    destination,
    messageid: i === rows - 1 ? stampMark : String(100_000_000_000 + i),
    sent: i % 2 === 0 ? '0' : '1',
    status: 'READ',
    datetime: `2026-01-31 09:30:${String(i).padStart(2, '0')}`,
  }))

/** What PHP's `json_encode` writes: every character beyond ASCII, and every slash, is escaped. */
const php = (value: unknown) =>
  JSON.stringify(value)
    .replaceAll('/', '\\/')
    .replace(/[^\0-\x7f]/g, letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** The bytes of an answer before and after its stamp. */
export const listAround = (destination: string) =>
  php({ status: 'SUCCESS', result: { list: rowsOf(destination) } }).split(stampMark) as [string, string]

export const taken = php({ status: 'SUCCESS', result: [] })
export const refused = (code: string) => php({ status: 'ERROR', error: code })
export const stampOf = (number: number) => String(number).padStart(12, '0')

/** The messages that every target must make of it, whatever the stamp. */
export const messagesOf = (destination: string, stamp: string): Message[] =>
  rowsOf(destination).map(({ platformid, messageid, sent, ...row }) => ({
    ...row,
    platformId: platformid,
    messageId: messageid === stampMark ? stamp : messageid,
    sent: sent === '1',
    direction: sent === '1' ? 'out' : 'in',
  }))
