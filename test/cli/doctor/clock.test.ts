import { describe, expect } from 'vitest'
import { test } from './doctor.ts'

describe('the clock', () => {
  test.for([
    ['as here', 0, 'ok'],
    ['half a minute behind', -30, 'warning'],
    ['half a minute ahead', 30, 'warning'],
    ['an hour ahead', 3600, 'broken'],
  ] as const)('of an Afilnet that is %s', async ([, seconds, verdict], { examine, sandbox }) => {
    sandbox.answer({ times: 99, headers: { date: new Date(Date.now() + seconds * 1000).toUTCString() } })
    const { named, wrong } = await examine()

    expect(wrong).toEqual(verdict === 'ok' ? [] : ['difference'])
    expect(named('difference')).toMatchObject([{ verdict }])
    if (seconds !== 0) expect(named('difference')[0]?.detail).toContain(seconds > 0 ? 'behind' : 'ahead of')
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
