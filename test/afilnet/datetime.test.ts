import { describe, expect } from 'vitest'
import { instantOf } from '../../src/afilnet/datetime.ts'
import { sharedTest as test } from '../gateway.ts'
import { calls } from './calls.ts'

const madrid = 'Europe/Madrid'

describe('instantOf', () => {
  test.for([
    ['2026-01-31 09:30:00', madrid, '2026-01-31T08:30:00Z'],
    ['2026-07-31 09:30:00', madrid, '2026-07-31T07:30:00Z'],
    ['2026-07-31 00:30:00', madrid, '2026-07-30T22:30:00Z'],
    ['2026-01-31 09:30:00', 'UTC', '2026-01-31T09:30:00Z'],
    ['2026-01-31 09:30:00', 'Atlantic/Canary', '2026-01-31T09:30:00Z'],
    ['2026-01-31 09:30:00', 'Asia/Kolkata', '2026-01-31T04:00:00Z'],
    ['2024-02-29 23:59:59', 'America/Bogota', '2024-03-01T04:59:59Z'],
    // The clocks of Madrid in 2026: 02:00 became 03:00 on 29 March, 03:00 became 02:00 on 25 October.
    ['2026-03-29 01:59:59', madrid, '2026-03-29T00:59:59Z'],
    ['2026-03-29 03:00:00', madrid, '2026-03-29T01:00:00Z'],
    ['2026-10-25 01:59:59', madrid, '2026-10-24T23:59:59Z'],
    ['2026-10-25 03:00:00', madrid, '2026-10-25T02:00:00Z'],
    // Those of Lord Howe: 02:00 became 01:30 on 5 April.
    ['2026-04-05 01:29:59', 'Australia/Lord_Howe', '2026-04-04T14:29:59Z'],
    ['2026-04-05 02:00:00', 'Australia/Lord_Howe', '2026-04-04T15:30:00Z'],
  ] as const)('reads %s in %s as %s', ([datetime, timezone, instant]) => {
    expect(instantOf(datetime, timezone)).toBe(instant)
  })

  test.for(['2026-03-29 02:00:00', '2026-03-29 02:30:00', '2026-03-29 02:59:59'])('finds no instant in %s, which never was', datetime => {
    expect(instantOf(datetime, madrid)).toBeUndefined()
  })

  test.for(['2026-10-25 02:00:00', '2026-10-25 02:30:00', '2026-10-25 02:59:59'])('finds no instant in %s, which was twice', datetime => {
    expect(instantOf(datetime, madrid)).toBeUndefined()
  })

  test.for(['2026-04-05 01:30:00', '2026-04-05 01:59:59'])('finds no instant in %s, in the half of an hour that was twice', datetime => {
    expect(instantOf(datetime, 'Australia/Lord_Howe')).toBeUndefined()
  })

  test.for([
    null,
    '',
    'soon',
    '0000-00-00 00:00:00',
    '0000-01-01 00:00:00',
    '9999-12-31 23:59:59',
    '2026-02-29 10:00:00',
    '2026-13-01 10:00:00',
    '2026-01-32 10:00:00',
    '2026-01-31 24:00:00',
    '2026-01-31 10:60:00',
    '2026-01-31 10:00:60',
    '2026-01-31T10:00:00',
    '2026-01-31 10:00:00Z',
    '2026-01-31 10:00:00+01:00',
    '2026-01-31 10:00:00.5',
    '2026-01-31 10:00',
    '2026-01-31',
    ' 2026-01-31 10:00:00',
    '2026-01-31 10:00:00\n',
    '31/01/2026 10:00:00',
    '1769850600',
    '٢٠٢٦-٠١-٣١ ١٠:٠٠:٠٠',
  ])('finds no instant in %j', datetime => {
    expect(instantOf(datetime, 'America/Bogota')).toBeUndefined()
  })

  test('finds no instant where no zone is configured', () => {
    expect(instantOf('2026-01-31 09:30:00', undefined)).toBeUndefined()
  })
})

describe('AFILNET_TIMEZONE', () => {
  const rows = ['2026-07-31 09:30:00', '2026-03-29 02:30:00', null].map(datetime => ({ messageid: '1', datetime }))
  const body = JSON.stringify({ status: 'SUCCESS', result: { list: rows } })
  const lists = ['getchats', 'getmessages', 'getunreadmessages'] as const

  test.for(lists)('gives the messages of %s a timestamp beside their datetime', async (method, { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEZONE: madrid } })
    sandbox.answer({ body })

    const { json } = await calls[method](gateway)

    expect(json.items).toMatchObject(rows.map(({ datetime }) => ({ datetime })))
    expect(json.items.map(({ timestamp }: { timestamp?: string }) => timestamp)).toEqual(['2026-07-31T07:30:00Z', undefined, undefined])
  })

  test.for(lists)('left out leaves those of %s without one', async (method, { gateway, sandbox }) => {
    sandbox.answer({ body })

    const { json } = await calls[method](gateway)

    expect(json.items).toHaveLength(rows.length)
    for (const item of json.items) expect(item).not.toHaveProperty('timestamp')
  })
})
