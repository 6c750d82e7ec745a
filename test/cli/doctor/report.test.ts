import { describe, expect } from 'vitest'
import { everyRead, methodsOf, test } from './doctor.ts'

describe('npm run doctor', () => {
  test('finds a gateway in front of the sandbox well, and only reads', async ({ doctor, sandbox }) => {
    const { code, out, err } = await doctor()

    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(methodsOf(sandbox)).toEqual(everyRead)
    expect(sandbox.sent).toEqual([])
    for (const line of [
      /^configuration\n {2}ok +values +complete and valid/,
      /^ {2}ok +DNS +127\.0\.0\.1/m,
      /^ {2}ok +TLS +127\.0\.0\.1:\d+: not used/m,
      /\n\nclock\n {2}ok +difference/,
      /^afilnet, account default\n {2}ok +getchatchannels +answered after \d+ ms, rows: 4$/m,
      /^ {2}ok +getchats whatsapp +.*rows: 2$/m,
      /^ {2}note +sandbox/m,
      /^ {2}note +Content-Type +text\/html; charset=utf-8 ×6$/m,
      /^ {2}ok +sent +sent "0" ×5, sent "1" ×3$/m,
      /^ {2}ok +datetime +yyyy-mm-dd hh:mm:ss ×8; AFILNET_TIMEZONE is not set/m,
      /^ {2}note +getchats rows +1, 2, 1, 1; datetime, messageid: descending ×1$/m,
      /^ {2}ok +not readable/m,
      /^ {2}skipped +not checked +.*getunreadmessages.*send.*limits/m,
      /\nVerdict: ok \(\d+ ok, \d+ note, 0 warning, 0 broken, 2 skipped\)\n$/,
    ])
      expect(out).toMatch(line)
    expect(out.match(/^\w.*$/gm)).toEqual([
      ...['configuration', 'configuration, account default', 'secrets', 'store', 'network', 'clock', 'afilnet, account default', 'afilnet'],
      expect.stringMatching(/^Verdict/),
    ])
  })

  test('says the same in JSON', async ({ examine }) => {
    const { checks, ...report } = await examine()

    expect(report).toMatchObject({ verdict: 'ok', node: process.version, version: '0.1.0', at: expect.stringMatching(/^\d{4}-.*Z$/) })
    for (const check of checks) {
      expect(Object.keys(check)).toEqual(expect.arrayContaining(['section', 'check', 'verdict', 'detail']))
      expect(check.detail).not.toBe('')
    }
    expect(checks.filter(({ account }) => account === 'default').length).toBeGreaterThan(15)
  })

  test.for(['post', 'basic', 'get'])('goes the way of the account: %s', async (transport, { examine, sandbox }) => {
    const AFILNET_URL = `${sandbox.url}/api/${transport === 'basic' ? 'basic' : 'http'}/`

    const { wrong } = await examine({ env: { AFILNET_TRANSPORT: transport, AFILNET_URL } })

    expect(wrong).toEqual(transport === 'get' ? ['transport'] : [])
    expect(sandbox.calls.map(call => call.transport)).toEqual(everyRead.map(() => (transport === 'post' ? 'form' : transport)))
  })

  test.for([['--jsn'], ['--json', 'x']])('takes no other argument: %j', async (args, { doctor, sandbox }) => {
    const { code, out, err } = await doctor({ args })

    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain('--json')
    expect(sandbox.calls).toEqual([])
  })
})
