import { hash } from 'node:crypto'
import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { canaries } from '../../gateway.ts'
import { everyRead, methodsOf, test } from './doctor.ts'

describe('a configuration', () => {
  test('that is invalid is reported in full, without a call to Afilnet', async ({ doctor, examine, sandbox, dir }) => {
    const file = join(dir, 'secret')
    writeFileSync(file, 'cn1')
    const env = { PORT: 'http', AFILNET_USER: '', AFILNET_PASSWORD_FILE: file, GATEWAY_KEY_SHA256: 'cn1', DOCS: 'maybe' }
    const { checks, code } = await examine({ env })
    const { out } = await doctor({ env })

    expect(code).toBe(2)
    const broken = checks.filter(({ verdict }) => verdict === 'broken').map(({ check }) => check)
    expect(broken.sort()).toEqual(['AFILNET_PASSWORD', 'AFILNET_USER', 'DOCS', 'GATEWAY_KEY_SHA256', 'PORT'])
    for (const section of ['store', 'network', 'clock', 'afilnet'])
      expect(out).toMatch(new RegExp(`^ {2}skipped +${section} +not checked: `, 'm'))
    expect(sandbox.calls).toEqual([])
    expect(readdirSync(dir)).toEqual(['secret'])
  })

  test.for([
    [0o644, 'warning'],
    [0o601, 'warning'],
    [0o640, 'ok'],
    [0o400, 'ok'],
  ] as const)('may have a secret in a file with mode %o: %s', async ([mode, verdict], { examine, dir }) => {
    const file = join(dir, "it's secret")
    writeFileSync(file, canaries.password)
    chmodSync(file, mode)
    const { named, code } = await examine({ env: { AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: file } })

    expect(named('file mode')).toMatchObject([{ verdict, facts: { path: file } }])
    if (verdict === 'warning') expect(named('file mode')[0]?.todo).toContain(`chmod o-rwx '${dir}/it'\\''s secret'`)
    expect(code).toBe(verdict === 'warning' ? 1 : 0)
  })

  test('of several accounts and callers is examined account by account', async ({ doctor, examine, sandbox, dir }) => {
    const [config, password] = [join(dir, 'config.json'), join(dir, 'password')]
    const account = (file: string) => ({ user: sandbox.user, password: { file }, url: `${sandbox.url}/api/http/` })
    const caller = (name: string, days: number) => ({
      keySha256: [hash('sha256', `fake-key-of-${name}`)],
      account: 'main',
      scopes: [],
      expires: new Date(Date.now() + days * 86_400_000).toISOString(),
    })
    const callers = {
      gone: caller('gone', -4.5),
      today: caller('today', 0.5),
      soon: caller('soon', 20.5),
      later: caller('later', 21.5),
      off: { ...caller('off', -5), disabled: true },
    }
    const accounts = { main: account(password), wrong: account(join(dir, 'wrong')) }
    writeFileSync(config, JSON.stringify({ accounts, callers }), { mode: 0o644 })
    writeFileSync(password, canaries.password, { mode: 0o600 })
    writeFileSync(join(dir, 'wrong'), 'fake-wrong-password', { mode: 0o644 })
    const env = { AFILNET_USER: '', AFILNET_PASSWORD: '', AFILNET_URL: '', GATEWAY_KEY_SHA256: '', GATEWAY_CONFIG: config }

    const { code, named, checks } = await examine({ env })
    const { out } = await doctor({ env })

    expect(code).toBe(2)
    expect(named('values')).toMatchObject([{ verdict: 'ok', facts: { accounts: 2, callers: 5 } }])
    expect(named('expiry').map(({ facts }) => facts)).toEqual([
      { caller: 'gone', daysLeft: -5 },
      { caller: 'today', daysLeft: 0 },
      { caller: 'soon', daysLeft: 20 },
    ])
    expect(named('expiry').map(({ detail }) => detail)).toEqual([
      'the keys of caller gone have expired',
      'the keys of caller today expire in 0 days',
      'the keys of caller soon expire in 20 days',
    ])
    expect(named('file mode').map(({ verdict }) => verdict)).toEqual(['ok', 'warning'])
    expect(named('getchatchannels').map(({ account, verdict }) => [account, verdict])).toEqual([
      ['main', 'ok'],
      ['wrong', 'broken'],
    ])
    expect(checks.filter(({ account }) => account === 'main').length).toBeGreaterThan(5)
    expect(out).toContain('afilnet, account wrong')
    expect(methodsOf(sandbox)).toHaveLength(2 * (everyRead.length + 1))
  })

  test('may have a secret where a path belongs', async ({ doctor }) => {
    for (const args of [[], ['--json']]) {
      const { code } = await doctor({ args, env: { AFILNET_PASSWORD: '', AFILNET_PASSWORD_FILE: canaries.password } })

      expect(code).toBe(2)
    }
  })
})
