import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config/config.ts'

const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['src/cli/key.ts', ...args], { encoding: 'utf8' })
  const key = /^ {2}(\S+)$/m.exec(stdout)?.[1] ?? ''
  return { status, stdout, stderr, key, row: stdout.trimEnd().split('\n').at(-1)?.trim() ?? '' }
}

describe('npm run key', () => {
  test('prints a key once, with 256 bits behind a prefix, and a row that holds only its digest', () => {
    const { status, stdout, key, row } = run()

    expect(status).toBe(0)
    expect(key).toMatch(/^afgw_[A-Za-z0-9_-]{43}$/)
    expect(stdout.split(key)).toHaveLength(2)
    expect(row).toBe(`GATEWAY_KEY_SHA256=${hash('sha256', key)}`)
    expect(run().key).not.toBe(key)
  })

  test('prints the row of a caller, which the configuration takes as it is', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'gateway-key-'))
    const args = '--name crm --account main --scope messages:send --scope messages:read --chat whatsapp/100/* --expires 90d'

    const { key, row } = run(...args.split(' '))
    const file = join(folder.path, 'config.json')
    writeFileSync(file, `{"accounts":{"main":{"user":"ops@example.com","password":{"env":"PASSWORD"}}},"callers":{${row}}}`)
    const { callers } = readConfig({ GATEWAY_CONFIG: file, PASSWORD: 'fake-password-of-a-test' })

    expect(callers.crm).toMatchObject({
      keySha256: [hash('sha256', key)],
      account: 'main',
      scopes: ['messages:send', 'messages:read'],
      chats: ['whatsapp/100/*'],
    })
    const days = (Date.parse(String(callers.crm?.expires)) - Date.now()) / 86_400_000
    expect(days).toBeGreaterThan(89.9)
    expect(days).toBeLessThan(90.1)
  })

  const endOf = (expires: string) => {
    const { row } = run('--name', 'crm', '--account', 'main', '--scope', 'messages:send', '--expires', expires)
    return /"expires":"(.*?)"/.exec(row)?.[1] ?? ''
  }

  test('takes hours or a time for an end', () => {
    const inHours = endOf('12h')

    expect(inHours).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect((Date.parse(inHours) - Date.now()) / 3_600_000).toBeCloseTo(12, 0)
    expect(endOf('2027-01-31T00:00:00Z')).toBe('2027-01-31T00:00:00Z')
  })

  test('says everything that is wrong, by its argument, and prints no key', () => {
    const { status, stdout, stderr } = run('--name', 'CRM', '--scope', 'fake-canary', '--chat', 'whatsapp', '--expires', 'soon')

    expect(status).toBe(78)
    expect(stdout).toBe('')
    expect(
      stderr
        .split('\n\n')[0]
        ?.split('\n')
        .map(line => line.split(':')[0]),
    ).toEqual(['--name', '--account', '--scope', '--chat', '--expires'])
    expect(stderr).not.toContain('fake-canary')
  })

  test('makes no row with a day that is not', () => {
    const { status, stderr } = run('--name', 'crm', '--account', 'main', '--scope', 'messages:send', '--expires', '2027-02-30T00:00:00Z')

    expect(status).toBe(78)
    expect(stderr).toContain('--expires: the value is not a day and time that exist')
  })

  test.for([
    ['0d', '--expires: is in the past'],
    ['2020-01-01T00:00:00Z', '--expires: is in the past'],
  ] as const)('makes no row that has expired: %s', ([expires, issue]) => {
    const { status, stdout, stderr } = run('--name', 'crm', '--account', 'main', '--scope', 'messages:send', '--expires', expires)

    expect([status, stdout, stderr.split('\n')[0]]).toEqual([78, '', issue])
  })

  test('makes no row for an account that no file can have', () => {
    const { status, stdout, stderr } = run('--name', 'crm', '--account', 'a b', '--scope', 'messages:send')

    expect([status, stdout]).toEqual([78, ''])
    expect(stderr).toMatch(/^--account: is not a name of the form /)
  })

  test('shows how it is used when it is asked', () => {
    const { status, stdout, stderr } = run('--help')

    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toContain('npm run key -- --name crm')
    expect(stdout).not.toContain('afgw_')
  })

  test.for([['--nmae', 'crm'], ['crm'], ['--name'], ['--scope', 'messages:send']])('shows how it is used when it is not: %s', args => {
    const { status, stdout, stderr } = run(...args)

    expect([status, stdout]).toEqual([78, ''])
    expect(stderr).toContain('npm run key -- --name crm')
  })
})
