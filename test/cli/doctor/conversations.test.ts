import { describe, expect } from 'vitest'
import { listed, test } from './doctor.ts'

const chat = { platform: 'webchat', platformid: '10', destination: 'visitor-7f3a' }
const checks = ['sent messages', 'order of messages', 'ids of messages', 'length of lists']

describe('what lists of messages allow to be found', () => {
  test('is everything in the sandbox', async ({ examine }) => {
    const { named } = await examine()

    expect(checks.flatMap(named).map(({ verdict, detail }) => [verdict, detail])).toEqual([
      ['ok', 'received ×2, sent ×1'],
      ['ok', 'oldest first ×1'],
      ['ok', 'unique ×3'],
      ['ok', '3; no sign of a limit'],
    ])
  })

  test('is less without ids, in no order, with a limit, and where nothing is marked as sent', async ({ examine, sandbox }) => {
    for (let n = 0; n < 30; n++) sandbox.receive({ ...chat, message: 'Hello', datetime: `2030-01-01 10:00:${n + 10}` })
    sandbox.shape({ omit: ['messageid'], order: 'mixed', maxRows: 20 })
    const { named, wrong } = await examine({ env: { EVENTS_CHANNELS: '*' } })

    expect(wrong).toEqual([])
    expect(checks.flatMap(named).map(({ verdict }) => verdict)).toEqual(['ok', 'note', 'note', 'note'])
    expect(named('length of lists')[0]?.detail).toMatch(/^20, \d+, \d+; Afilnet may list no more than 20 messages/)
    expect(named('ids of messages')[0]?.detail).toContain('missing ×')
  })

  const list = (length: number) => Array.from({ length }, (_, n) => ({ messageid: String(n), sent: '1' }))
  test.for<[string, object[][], string, string]>([
    ['sent messages', [[{ sent: '0' }, { sent: '0' }]], 'note', 'no message is marked as sent'],
    ['sent messages', [[{ sent: '0' }, { sent: '1' }, {}]], 'note', 'some messages are neither sent nor received'],
    ['ids of messages', [[{ messageid: '0' }, { messageid: '7' }]], 'note', 'missing ×1, unique ×1'],
    ['ids of messages', [[{ messageid: '7' }, { messageid: '7' }]], 'note', 'unique ×1, repeated ×1'],
    ['length of lists', [list(11), list(11)], 'note', 'no more than 11 messages'],
    ['length of lists', [list(3), list(3)], 'ok', 'no sign of a limit'],
  ])('is described under %s, with %j as %s', async ([check, lists, verdict, words], { examine, sandbox }) => {
    for (const rows of lists) sandbox.answer({ method: 'getmessages', ...listed(...rows) })
    const { named } = await examine({ env: lists.length > 1 ? { EVENTS_CHANNELS: '*' } : {} })

    expect(named(check)).toMatchObject([{ verdict, detail: expect.stringContaining(words) }])
  })

  test('is of no use to a send with READ_BACK=false', async ({ examine }) => {
    const { named } = await examine({ env: { READ_BACK: 'false', AFILNET_TIMEZONE: 'Europe/Madrid' } })

    expect(named('read-back')).toMatchObject([{ verdict: 'note', detail: expect.stringContaining('off by READ_BACK') }])
  })

  test('is said to be no direction with AFILNET_SENT=ignore', async ({ examine }) => {
    const { named } = await examine({ env: { AFILNET_SENT: 'ignore', AFILNET_TIMEZONE: 'Europe/Madrid' } })

    expect(named('sent messages')).toMatchObject([{ verdict: 'note', detail: expect.stringContaining('AFILNET_SENT=ignore is set') }])
    expect(named('read-back')).toMatchObject([{ verdict: 'note', detail: expect.stringContaining('off by AFILNET_SENT=ignore') }])
  })
})
