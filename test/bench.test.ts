import { describe, expect, test } from 'vitest'
import { destinations, listAround, messagesOf, stampOf } from '../bench/answers.ts'
import type { Case } from '../bench/case.ts'
import { cases } from '../bench/cases.ts'
import { channels, chatOf, chatsOf, messagesOf as messagesOfChat } from '../bench/conversations.ts'
import { collectionsIn } from '../bench/garbage.ts'
import { meets, mistakesIn, notesOn, ratioOf, table, tables, valuesOf } from '../bench/report.ts'
import type { CaseResult } from '../bench/run.ts'
import { median, percentile, spread } from '../bench/statistics.ts'
import { readRows } from '../src/afilnet/envelope.ts'
import { getChats, getMessages } from '../src/afilnet/operations.ts'

const perSecond = (...values: number[]) => ({ rounds: values.map(perSecond => ({ perSecond, busy: 1 })), mistakes: [] })
const value = (median: number) => ({ median, spread: 0 })

describe('The arithmetic of the benchmark', () => {
  test.for([
    [[3, 1, 2], 2, 1],
    [[4, 1, 2, 3], 2.5, 1.2],
    [[7], 7, 0],
  ] as const)('has the median and spread of %j', ([values, middle, apart]) => {
    expect(median(values)).toBe(middle)
    expect(spread(values)).toBeCloseTo(apart)
  })

  test('has the value that a part of all is not above', () => {
    const values = Array.from({ length: 200 }, (_, i) => 200 - i)

    expect([percentile(values, 0.5), percentile(values, 0.99), percentile([7], 0.99)]).toEqual([100, 198, 7])
  })

  test('says of both directions how many times better something is', () => {
    expect(ratioOf({ title: '', unit: '/s', better: 'more' }, value(300), value(200))).toBe(1.5)
    expect(ratioOf({ title: '', unit: 'ms', better: 'less' }, value(200), value(300))).toBe(1.5)
  })

  test('takes off, round by round, what the stub alone needs', () => {
    const of = (...values: number[]) => ({ rounds: values.map(p50 => ({ p50 })), mistakes: [] })
    const result = { subjects: { direct: of(20, 21, 22), gateway: of(20.5, 21.6, 22.7) }, spread: 0 }

    const { gateway, direct } = valuesOf('p50', cases['added-latency'].figures.p50 ?? expect.fail(), result)

    expect(gateway?.median).toBeCloseTo(0.6)
    expect(direct?.median).toBe(21)
  })

  test.for([
    [{ timesNginx: 1.5 }, 150, true],
    [{ timesNginx: 1.5 }, 149, false],
    [{ beyondNginx: 0.3 }, 100.2, true],
    [{ beyondNginx: 0.3 }, 100.4, false],
    [{ atMost: 60 }, 60, true],
    [{ atMost: 60 }, 61, false],
    [{ atMost: 60 }, Number.NaN, undefined],
    [{ atLeast: 60 }, 60, true],
    [{ atLeast: 60 }, 59, false],
    [undefined, 1, undefined],
  ] as const)('holds %j against %d', ([goal, gateway, met]) => {
    expect(meets({ title: '', unit: '/s', better: 'more', ...(goal && { goal }) }, value(gateway), value(100))).toBe(met)
  })
})

test('adds up what V8 reports of its collections', () => {
  const line = (allocated: number, promoted: number) =>
    `[7:0x1] 1207 ms: pause=0.9 mutator=66.6 gc=s reduce_memory=0 promoted=${promoted} new_space_survived=0.0 allocated=${allocated}\n`

  expect(collectionsIn(`${line(8_000_000, 300)}{"msg":"request completed"}\n${line(4_000_000, 0)}`)).toEqual({
    allocated: 12_000_000,
    promoted: 300,
  })
})

describe('The table of the benchmark', () => {
  const of: Case = { ...cases['get-different'], figures: { perSecond: cases['get-different'].figures.perSecond ?? expect.fail() } }
  const result: CaseResult = {
    subjects: {
      gateway: perSecond(900, 1000, 1010),
      nginx: perSecond(990, 1000, 1010),
      express: { rounds: [{ perSecond: 5000, busy: 1 }], mistakes: ['a list was answered with 500'] },
    },
    spread: 0.02,
  }

  test('has medians, ratios and spreads, and no figure of a wrong answer', () => {
    const [, , row] = table([[of, result]], ['gateway', 'nginx', 'express'], true).split('\n')

    expect(row?.split('|').map(cell => cell.trim())).toEqual([
      '',
      'GET, every answer different',
      '1,000/s · 1.00 × · 11 %',
      '1,000/s · 2 %',
      'failed, see below',
      '–',
      '',
      '≥ 0.75 × nginx+lua, met',
      '',
    ])
  })

  test('has nothing for what a target was not asked', () => {
    const garbage = {
      title: 'heap',
      asks: [],
      figures: { kB: { title: '', unit: 'kB' as const } },
      warm: async () => {},
      measure: () => expect.fail(),
    }
    const notAsked = { rounds: [1, 2].map(() => ({ kB: Number.NaN })), mistakes: [] }

    const row = table(
      [[garbage, { subjects: { gateway: { rounds: [{ kB: 3 }, { kB: 3 }], mistakes: [] }, floor: notAsked }, spread: 0 }]],
      ['gateway', 'floor'],
      true,
    )

    expect(row.split('\n')[2]).toMatch(/^\| heap +\| 3 kB · 0 % +\| – +\|/)
  })

  test('has the targets that a case compares, and another table for other targets', () => {
    const events: CaseResult = { subjects: { gateway: { rounds: [{ p99: 12 }], mistakes: [] } }, spread: 0 }

    const [first = '', second = ''] = tables(
      [
        [of, result],
        [cases.events, events],
      ],
      ['gateway', 'nginx', 'express', 'plain-http'],
      true,
    ).split('\n\n')

    expect(first).toMatch(/^\| case +\| this gateway +\| nginx\+lua +\| express \+ axios +\| no gateway +\| to express \+ axios \| goal/)
    expect(second).toMatch(/^\| case +\| this gateway \| plain node:http \| goal/)
    expect(second).toMatch(/^\| 2,000 streams.+\| 12 ms +\| – +\| ≤ 150 ms, met +\|$/m)
  })

  test('names targets that answered wrongly, and those that something else bounded', () => {
    const idle = {
      ...result,
      subjects: { ...result.subjects, nginx: { rounds: [{ perSecond: 1, busy: 0.5 }], mistakes: [] } },
      spread: 0.2,
    }

    expect(mistakesIn([[of, result]])).toEqual(['GET, every answer different, express + axios: a list was answered with 500'])
    expect(notesOn([[of, result]])).toEqual([])
    expect(notesOn([[of, idle]])).toEqual([
      expect.stringContaining('20 % apart'),
      expect.stringContaining('nginx+lua used 50 % of its core'),
    ])
  })
})

describe("The stub's answers", () => {
  test('are what Afilnet would write, and what targets must answer is what they say', () => {
    const [destination = ''] = destinations('steady', 1)
    const bytes = Buffer.from(listAround(destination).join(stampOf(4711)), 'latin1')

    const rows = readRows(getMessages, bytes)

    expect(bytes.byteLength).toBeGreaterThan(4000)
    expect(bytes.every(byte => byte < 0x80)).toBe(true)
    expect(
      rows.map(({ platformid: platformId, messageid: messageId, ...row }) => ({
        ...row,
        platformId,
        messageId,
        direction: row.sent ? 'out' : 'in',
      })),
    ).toEqual(messagesOf(destination, stampOf(4711)))
  })

  test('list a watched channel whose newest rows its conversations hold', () => {
    const [channel = ''] = channels.busy

    const rows = readRows(getChats, Buffer.from(chatsOf(channel)))

    expect(rows).toHaveLength(100)
    for (const row of rows) {
      const chat = chatOf(row.destination ?? '') ?? expect.fail()
      const messages = readRows(getMessages, Buffer.from(messagesOfChat(chat)))
      expect(messages).toHaveLength(20)
      expect(messages.map(({ messageid }) => messageid)).toContain(row.messageid)
    }
  })
})
