import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'

const preload = new URL('../../src/cli/env-file.ts', import.meta.url).href

/** What a program sees of A, B and C after the preload has run in a folder. */
function run(prepare: (path: string) => void) {
  const cwd = mkdtempSync(join(tmpdir(), 'gateway-env-file-'))
  onTestFinished(() => rmSync(cwd, { recursive: true }))
  prepare(join(cwd, '.env'))
  const program = 'const { A, B, C } = process.env; console.log(JSON.stringify({ A, B, C }))'
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', preload, '--input-type=module', '-e', program], {
    cwd,
    encoding: 'utf8',
    env: { B: 'of the environment', C: '' },
  })
  return { status, stdout, stderr }
}

describe('.env', () => {
  test('may be missing, and gives way to the environment', () => {
    const none = run(() => {})
    const some = run(path => writeFileSync(path, "# first\nA='with a # and $B'\nB=of the file\nC=of the file\n"))

    expect(none).toEqual({ status: 0, stdout: '{"B":"of the environment","C":""}\n', stderr: '' })
    expect(some).toEqual({ status: 0, stdout: '{"A":"with a # and $B","B":"of the environment","C":""}\n', stderr: '' })
  })

  test.for<[string, (path: string) => void, string]>([
    ['is a directory', mkdirSync, 'is a directory, not a file'],
    ['is in UTF-16', path => writeFileSync(path, 'A=1\n', 'utf16le'), 'is UTF-16 or binary; save it as UTF-8'],
    [
      'starts with a byte order mark',
      path => writeFileSync(path, '\ufeffA=1\n'),
      'starts with a byte order mark; save it as UTF-8 without one',
    ],
  ])('that %s ends the program with exit code 78 and says so', ([, prepare, issue]) => {
    expect(run(prepare)).toEqual({ status: 78, stdout: '', stderr: `.env ${issue}\n` })
  })
})
