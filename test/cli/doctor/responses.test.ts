import { describe, expect } from 'vitest'
import type { Check } from '../../../src/cli/doctor/report.ts'
import type { Shape } from '../../../src/sandbox/response-format.ts'
import { listed, methodsOf, test } from './doctor.ts'

describe('the shape of the answers', () => {
  const extra = { colour: 'cn1', 34699999999: 'cn1', nested: { cn1: 'cn1' } }
  const shapes: [Partial<Shape>, string, Check['verdict'], Record<string, unknown>][] = [
    [{ list: 'array' }, 'result.list', 'ok', { array: 6 }],
    [{ list: 'object' }, 'result.list', 'note', { 'object keyed by index': 6 }],
    [{ status: 'lower' }, 'status', 'ok', { 'lower case': 6 }],
    [{ sent: 'number' }, 'sent', 'ok', { 'sent 0': 5, 'sent 1': 3 }],
    [{ sent: 'boolean' }, 'sent', 'ok', { 'sent false': 5, 'sent true': 3 }],
    [{ sent: 'word' }, 'sent', 'note', { 'sent "false"': 5, 'sent "true"': 3 }],
    [{ sentName: 'issent' }, 'sent', 'note', { 'issent "0"': 5, 'issent "1"': 3 }],
    [{ omit: ['sent'] }, 'sent', 'note', { missing: 8 }],
    [{ nulls: ['sent'] }, 'sent', 'note', { null: 8 }],
    [{ omit: ['datetime'] }, 'datetime', 'note', { missing: 8 }],
  ]

  test.for(shapes)(
    '%j is reported in a line, to people and machines',
    async ([shape, check, verdict, seen], { doctor, examine, sandbox }) => {
      sandbox.shape(shape)
      const { named, wrong } = await examine()
      const { code, out } = await doctor()

      expect(named(check)).toMatchObject([{ verdict, facts: { seen } }])
      expect(wrong).toEqual([])
      expect(code).toBe(0)
      expect(out).toContain(` ${named(check)[0]?.detail}\n`)
    },
  )

  test('has the type of each field in it', async ({ examine, sandbox }) => {
    sandbox.shape({ ids: 'number', nulls: ['message'], omit: ['status'] })
    const { named } = await examine()

    expect(named('getchatchannels fields')).toMatchObject([{ verdict: 'ok', facts: { platformid: { number: 4 }, name: { string: 4 } } }])
    expect(named('getchats fields')).toMatchObject([
      { verdict: 'note', facts: { destination: { string: 2, number: 3 }, message: { null: 5 }, status: { missing: 5 } } },
    ])
    expect(named('getmessages fields')[0]?.detail).toBe(
      'platformid, messageid: number ×3; platform, destination, datetime: string ×3; message: null ×3; status: missing ×3',
    )
  })

  test('has the fields in it that the manual does not name', async ({ doctor, examine, sandbox }) => {
    sandbox.shape({ extra })
    const { named, code } = await examine()
    const { out } = await doctor()

    expect(code).toBe(0)
    expect(named('extra fields')).toMatchObject([
      { verdict: 'note', facts: { colour: { string: 12 }, nested: { object: 12 }, '(not shown)': { string: 12 } } },
    ])
    expect(out).toMatch(/passed on in `extra`: .*colour/)
  })

  test.for([
    [{ list: [] }, { 'empty array': 1 }],
    [{ list: {} }, { 'empty object': 1 }],
    [{ list: null }, { null: 1 }],
    [{}, { missing: 1 }],
    [[], undefined],
    [null, undefined],
    [undefined, undefined],
  ] as const)('of an account without channels is reported: %j', async ([result, list], { examine, sandbox }) => {
    sandbox.answer({ body: JSON.stringify({ status: 'SUCCESS', result }) })
    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'ok', facts: { rows: 0 } }])
    expect(named('result.list')).toMatchObject(list ? [{ facts: { seen: list } }] : [])
    expect(named('not readable')).toEqual([])
    expect(named('getchats')).toMatchObject([{ verdict: 'skipped', detail: 'not called: the account has no channel' }])
    expect(named('getmessages')).toMatchObject([{ verdict: 'skipped' }])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })

  test('is asked of four channels at most, each of another platform', async ({ examine, sandbox }) => {
    const platforms = ['whatsapp', 'whatsapp', 'viber', '34699999999', 'telegram', 'operator']
    sandbox.answer(listed(...platforms.map((platform, index) => ({ platform, platformid: `98761234${index}`, name: 'cn1' }))))
    sandbox.answer({ method: 'getchats', times: 9, ...listed() })
    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('platforms')).toMatchObject([{ verdict: 'note', facts: { seen: { viber: 1, '(not shown)': 1, whatsapp: 2 } } }])
    const asked = sandbox.calls.slice(1).map(({ params }) => Object.fromEntries(params))
    expect(asked.map(({ method, platform }) => [method, platform])).toEqual(
      ['whatsapp', 'viber', '34699999999', 'telegram'].map(platform => ['getchats', platform]),
    )
    expect(named('getmessages')).toMatchObject([{ verdict: 'skipped', detail: 'not called: the account has no conversation' }])
  })

  test('may leave something over that the reader cannot place', async ({ doctor, examine, sandbox }) => {
    const row = { message: { cn1: 'cn1' }, sent: 'cn1', datetime: '2026-01-31 09:30:00' }
    sandbox.answer({ method: 'getmessages', times: 2, ...listed(row, { ...row, sent: '1' }, { ...row, sent: null }) })
    const { named, wrong, code } = await examine()
    const { out } = await doctor()

    expect({ wrong, code }).toEqual({ wrong: ['not readable'], code: 1 })
    expect(named('not readable')).toMatchObject([{ verdict: 'warning', facts: { sent: 1, structures: { message: 3 } } }])
    expect(out).toMatch(/^ {2}warning +not readable +sent is not a boolean ×1; a structure instead of a text: message ×3\n +→ Report/m)
  })

  test.for([
    ['UTC', 'ok', 8, 0],
    ['Pacific/Auckland', 'ok', 8, 0],
    ['America/Los_Angeles', 'warning', 8, 8],
  ] as const)('has datetimes that %s makes instants of: %s', async ([timezone, verdict, instants, future], { examine }) => {
    const { named } = await examine({ env: { AFILNET_TIMEZONE: timezone } })

    expect(named('datetime')).toMatchObject([{ verdict, facts: { timezone, instants } }])
    if (future === 0) expect(named('datetime')).toMatchObject([{ facts: { future } }])
    else expect(named('datetime')[0]?.todo).toContain('AFILNET_TIMEZONE')
  })

  test('may have datetimes of another format', async ({ examine, sandbox }) => {
    sandbox.answer({ method: 'getmessages', ...listed({ datetime: '31/01/2026 09:30' }, { datetime: 'cn1' }) })
    sandbox.answer({ method: 'getchats', times: 3, ...listed() })
    sandbox.answer({ method: 'getchats', ...listed({ destination: 'ana', datetime: 1769851800 }) })
    const { named } = await examine({ env: { AFILNET_TIMEZONE: 'UTC' } })

    expect(named('datetime')).toMatchObject([
      { verdict: 'warning', facts: { seen: { '99/99/9999 99:99': 1, string: 1, 9999999999: 1 }, instants: 0 } },
    ])
  })

  test.for([
    [{ 'content-type': 'application/json' }, 'Content-Type', 'ok', { 'application/json': 1 }],
    [{ 'content-type': 'cn1' }, 'Content-Type', 'note', { unusual: 1 }],
    [{ 'content-encoding': 'gzip' }, 'Content-Encoding', 'note', { gzip: 1 }],
    [{ 'content-encoding': 'cn1' }, 'Content-Encoding', 'note', { unusual: 1 }],
  ] as const)('has a head: %j', async ([headers, check, verdict, seen], { examine, sandbox }) => {
    sandbox.answer({ headers, ...listed() })
    const { named } = await examine()

    expect(named(check)).toMatchObject([{ verdict, facts: { seen } }])
  })

  test.for([
    ['encoding', 'UTF-8 with a byte order mark', '\uFEFF{"status":"SUCCESS"}'],
    ['result.list', 'array with items that are no rows', '{"status":"SUCCESS","result":{"list":[null]}}'],
  ] as const)('is a note where the reader accepts it: %s, %s', async ([check, seen, body], { examine, sandbox }) => {
    sandbox.answer({ body })
    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'ok', facts: { rows: 0 } }])
    expect(named(check)).toMatchObject([{ verdict: 'note', facts: { seen: { [seen]: 1 } } }])
  })

  test.for([
    ['encoding', 'not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['body', 'JSON, array', '["cn1"]'],
    ['body', 'not JSON', 'cn1'],
    ['status', 'another word', '{"status":"cn1"}'],
    ['status', 'missing', '{"cn1":1}'],
    ['result', 'string', '{"status":"SUCCESS","result":"cn1"}'],
  ] as const)('is reported where the reader refuses it: %s, %s', async ([check, seen, body], { examine, sandbox }) => {
    sandbox.answer({ body })
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['getchatchannels'])
    expect(named('getchatchannels')).toMatchObject([{ verdict: 'broken', facts: { fault: 'upstream-invalid-response', http: 200 } }])
    expect(named(check)).toMatchObject([{ verdict: 'note', facts: { seen: { [seen]: 1 } } }])
    expect(methodsOf(sandbox)).toEqual(['getchatchannels'])
  })
})
