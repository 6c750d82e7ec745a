import { describe, expect } from 'vitest'
import { listed, test } from './doctor.ts'

const number = '34699999999'
const chat = { platform: 'whatsapp', platformid: '100' }

describe('the chat that rows name', () => {
  test('is the requested one in the sandbox', async ({ examine }) => {
    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    for (const check of ['platform of rows', 'channel of rows', 'destination of rows'])
      expect(named(check)).toMatchObject([{ verdict: 'ok', detail: expect.stringMatching(/^as requested ×\d+$/) }])
  })

  test.for([
    ['in another spelling', ['+34 699-999-999'], 'note', { 'requested one in another spelling': 1 }],
    ['without it', [null], 'note', { missing: 1 }],
    ['now and then', [number, null], 'note', { 'as requested': 1, missing: 1 }],
    ['as another one', ['canary-name'], 'warning', { 'another one': 1 }],
  ] as const)('may be written %s', async ([, destinations, verdict, seen], { examine, sandbox }) => {
    sandbox.answer(listed({ ...chat, name: 'cn1' }))
    sandbox.answer({ method: 'getchats', ...listed({ ...chat, destination: number }) })
    sandbox.answer({ method: 'getmessages', ...listed(...destinations.map(destination => ({ ...chat, destination }))) })
    const { named, checks } = await examine()

    expect(named('destination of rows')).toMatchObject([{ verdict, facts: { seen } }])
    expect(JSON.stringify(checks)).not.toContain('canary-name')
    if (verdict === 'warning') expect(named('destination of rows')[0]?.todo).toContain('AFILNET_ROWS=destination-open')
  })

  test('is not compared with AFILNET_ROWS=destination-open, and the report says whether that is needed', async ({ examine, sandbox }) => {
    const env = { AFILNET_ROWS: 'destination-open' }
    const needless = await examine({ env })
    sandbox.answer({ method: 'getmessages', ...listed({ platform: 'webchat', destination: 'cn1' }) })
    const needed = await examine({ env })
    sandbox.answer({ method: 'getmessages', ...listed({ platform: 'telegram', destination: 'cn1' }) })
    const more = await examine({ env })

    expect([needless.wrong, needed.wrong, more.wrong]).toEqual([[], [], ['platform of rows']])
    expect(needless.named('destination of rows')[0]).toMatchObject({ verdict: 'note', detail: expect.stringContaining('do not need it') })
    expect(needed.named('destination of rows')[0]).toMatchObject({ verdict: 'note', detail: expect.stringContaining('not compared') })
  })

  test('may have blanks around it, and capitals in its platform', async ({ examine, sandbox }) => {
    sandbox.answer(listed({ ...chat, name: 'cn1' }))
    sandbox.answer({ method: 'getchats', ...listed({ platform: ' WhatsApp', platformid: '100 ', destination: number }) })
    sandbox.answer({ method: 'getmessages', ...listed() })
    const { named } = await examine()

    for (const check of ['platform of rows', 'channel of rows'])
      expect(named(check)).toMatchObject([{ verdict: 'note', facts: { seen: { 'requested one in another spelling': 1 } } }])
  })

  test('of another channel or platform is a warning without a setting', async ({ examine, sandbox }) => {
    sandbox.answer(listed({ ...chat, name: 'cn1' }))
    sandbox.answer({ method: 'getchats', ...listed({ platform: 'telegram', platformid: '98761234', destination: number }) })
    sandbox.answer({ method: 'getmessages', ...listed() })
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['platform of rows', 'channel of rows'])
    expect(named('channel of rows')[0]?.todo).toMatch(/^Callers get 502.*--json$/)
  })
})
