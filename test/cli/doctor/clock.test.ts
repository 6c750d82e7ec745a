import { describe, expect } from 'vitest'
import { test } from './doctor.ts'

describe('the clock', () => {
  test.for([
    ['as here', 0, 'ok'],
    ['four seconds ahead', 4, 'ok'],
    ['ten seconds behind', -10, 'warning'],
    ['ten seconds ahead', 10, 'warning'],
    ['59 seconds ahead', 59, 'warning'],
    ['75 seconds ahead', 75, 'broken'],
    ['an hour behind', -3600, 'broken'],
  ] as const)('of an Afilnet that is %s', async ([, seconds, verdict], { examine, sandbox }) => {
    sandbox.answer({ times: 99, headers: { date: new Date(Date.now() + seconds * 1000).toUTCString() } })
    const { named, wrong } = await examine()

    expect(wrong).toEqual(verdict === 'ok' ? [] : ['difference'])
    expect(named('difference')).toMatchObject([{ verdict }])
    if (verdict !== 'ok') expect(named('difference')[0]?.detail).toContain(seconds > 0 ? 'behind' : 'ahead of')
  })

  test('is judged by the response that differs least: another one may have waited somewhere', async ({ examine, sandbox }) => {
    for (const hours of [-1, 1])
      sandbox.answer({ method: 'getchats', headers: { date: new Date(Date.now() + hours * 3_600_000).toUTCString() } })
    const { named } = await examine()

    expect(named('difference')).toMatchObject([{ verdict: 'ok' }])
  })

  test.for([[{ date: 'cn1' }], [{ date: 'Thu, 01 Jan 1970 00:00:00 GMT', age: '9' }]])(
    'is not read off a head like %j',
    async ([headers], { examine, sandbox }) => {
      sandbox.answer({ times: 99, headers: headers as Record<string, string> })
      const { named } = await examine()

      expect(named('difference')).toMatchObject([{ verdict: 'skipped' }])
    },
  )
})
