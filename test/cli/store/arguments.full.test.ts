import { hash } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { type Environment, figures, number, settled, test } from './command.ts'

describe('npm run store', () => {
  test.for([
    [],
    ['chekc'],
    ['check', number],
    ['copy', 'sqlite:a'],
    ['forget'],
    ['forget', number, number],
    ['check', '--destination', number],
  ])('shows how it is used when it is not: %s', async (args, { run, path }) => {
    const { code, stdout, stderr } = await run(args)

    expect([code, stdout]).toEqual([78, ''])
    expect(stderr).toContain('npm run -s store -- copy FROM TO')
    expect(stderr).not.toContain(number)
    expect(existsSync(path)).toBe(false)
  })

  test('shows how it is used when asked', async ({ run }) => {
    expect(await run(['--help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('npm run -s store -- copy FROM TO'),
      stderr: '',
    })
  })

  test('refuses an empty destination, which would be a mistake', async ({ run }) => {
    for (const args of [
      ['forget', '-'],
      ['export', '--destination', '-'],
    ])
      expect(await run(args, { input: '\n' })).toMatchObject({ code: 78, stdout: '' })
  })

  test('reads a destination from standard input and ends with an exit code, as a program', async ({ program, path, open }) => {
    await (await open(path)).load([settled({ destination: number }), settled()])
    const { child, exited } = program(['forget', '-'])
    child.stdin.end(`${number}\n`)
    const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()])

    expect([await exited, stdout.join(''), stderr]).toEqual([[0, null], 'gone      1\npending   0\n', []])
  })

  test('writes what is wrong to standard error, as a program', async ({ program }) => {
    const { child, exited } = program(['check'])
    const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()])

    expect([await exited, stdout]).toEqual([[1, null], []])
    expect(stderr.join('')).toMatch(/^STORE_URL: there is no ledger\. Check the path; .*\n$/)
  })

  const errands = [['check'], ['export'], ['forget', number]]

  test('says of an empty file that something truncated it', async ({ run, path }) => {
    writeFileSync(path, '')

    for (const args of [['accept'], ['check']])
      expect(await run(args)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('something truncated it') })
    expect(statSync(path).size).toBe(0)
  })

  test('makes no ledger where none is', async ({ run, url, path }) => {
    for (const args of [...errands, ['copy', url, `sqlite:${path}.copy`]]) {
      expect(await run(args)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('there is no ledger. Check the path') })
    }
    expect([existsSync(path), existsSync(`${path}.copy`)]).toEqual([false, false])
  })

  test('refuses a ledger in memory, which would be an empty one', async ({ run, url }) => {
    for (const args of [...errands, ['copy', 'sqlite::memory:', url]])
      expect(await run(args, { env: { STORE_URL: 'sqlite::memory:' } })).toMatchObject({ code: 78, stdout: '' })
  })

  test('refuses a ledger of a newer release, and does not touch it', async ({ run, url, path, open }) => {
    await (await open(path)).close()
    const db = new DatabaseSync(path)
    db.exec('PRAGMA user_version = 99')
    db.close()
    const before = readFileSync(path)

    for (const args of [...errands, ['copy', url, `sqlite:${path}.copy`], ['copy', `sqlite:${path}.from`, url]]) {
      await (await open(`${path}.from`)).load([settled()])
      expect(await run(args)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('schema version 99') })
    }
    expect(readFileSync(path)).toEqual(before)
  })

  test('leaves a ledger of an older release to its gateway, but copies it', async ({ run, url, path }) => {
    copyFileSync(new URL('../../store/fixtures/version-1.sqlite', import.meta.url), path)
    using db = new DatabaseSync(path)
    db.prepare('INSERT INTO leases VALUES (?, ?)').run('its gateway', Date.now() + 3_600_000)
    const before = readFileSync(path)

    for (const args of errands) expect(await run(args)).toMatchObject({ code: 1, stderr: expect.stringContaining('by an older release') })
    expect(readFileSync(path)).toEqual(before)
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])
    expect({ code, ...figures(stdout) }).toMatchObject({ code: 0, read: 5, copied: 5 })
  })

  test('migrates a ledger of an older release, however long that takes', async ({ run, url, path }) => {
    copyFileSync(new URL('../../store/fixtures/version-2.sqlite', import.meta.url), path)
    const db = new DatabaseSync(path)
    const numbers = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) SELECT i FROM n'
    db.exec(`CREATE TRIGGER slow AFTER UPDATE ON counts WHEN (SELECT count(*) FROM (${numbers})) = 0 BEGIN SELECT 1; END`)
    db.close()
    const { code, stdout, stderr } = await run(['copy', url, `sqlite:${path}.copy`])

    expect({ code, stderr, ...figures(stdout) }).toMatchObject({ code: 0, stderr: '', read: 10, copied: 10 })
  })

  test('erases a number from a backup of an older release', async ({ run, path }) => {
    copyFileSync(new URL('../../store/fixtures/version-2.sqlite', import.meta.url), path)
    const { code, stdout, stderr } = await run(['forget', '34600000001'])

    expect({ code, stderr, ...figures(stdout) }).toEqual({ code: 0, stderr: '', gone: 3, pending: 0 })
  })

  test('needs the variables of the ledger and no others, and names what is wrong with them', async ({ run, path, open }) => {
    await (await open(path)).load([settled()])
    writeFileSync(`${path}.url`, `sqlite:${path}\n`)

    expect(await run(['check'], { env: { STORE_URL: '', STORE_URL_FILE: `${path}.url`, PORT: 'x' } })).toMatchObject({ code: 0 })
    expect(await run(['check'], { env: { SENDS_KEEP_HOURS: 'x', STORE_MAX_MB: '0' } })).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/SENDS_KEEP_HOURS: (?:.|\n)*STORE_MAX_MB: /),
    })
  })

  test.for(['redis://user:PASSWORD@127.0.0.1:1/0', 'mysql://PASSWORD@127.0.0.1:1', 'sqlite://PASSWORD'])(
    'never repeats the password of a URL: %s',
    async (form, { dir, url, path, open, run }) => {
      await (await open(path)).load([settled()])
      const secret = 'fake-canary-secret'
      const bad = form.replace('PASSWORD', secret)
      writeFileSync(join(dir, 'bad'), bad)
      const errand = (args: string[], env: Environment = {}) => run(args, { env })

      for (const { code, stdout, stderr } of [
        await errand(['copy', bad, url]),
        await errand(['copy', url, bad]),
        await errand(['copy', url, `@${join(dir, 'bad')}`]),
        await errand(['copy', url, `@${bad}`]),
        await errand([bad]),
        await errand(['check', `--${bad}`]),
        ...(await Promise.all(errands.map(args => errand(args, { STORE_URL: bad })))),
      ]) {
        expect([1, 78]).toContain(code)
        expect(stdout + stderr).not.toContain(secret)
        expect(stdout + stderr).not.toContain(hash('sha256', secret))
        expect(stdout + stderr).not.toContain(number)
      }
    },
  )
})
