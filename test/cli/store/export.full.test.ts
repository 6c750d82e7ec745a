import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { fill, number, rowsIn, settled, test } from './command.ts'

describe('npm run store -- export', () => {
  test('prints every send as a line of JSON, and never the secret', async ({ path, open, run }) => {
    const rows = Array.from({ length: 5_000 }, (_, n) => settled({ reference: `line\n${n}`, caller: n % 2 ? 'crm' : 'shop' }))
    const store = await open(path)
    await fill(store, rows)
    const secret = Buffer.from(await store.secret())
    const { code, stdout, stderr } = await run(['export'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(rowsIn(stdout)).toEqual(rows)
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) expect(stdout.includes(secret.toString(form))).toBe(false)
  })

  test('prints what was sent to one destination', async ({ path, open, run }) => {
    const theirs = [settled({ destination: number, idempotencyKey: 'k' }), settled({ destination: number, caller: 'shop' })]
    const stored = theirs.map((row, n) => (n === 0 ? { ...row, idempotencyKey: 'of-the-actor k' } : row)) // a token's key has its actor in front
    await (await open(path)).load([...stored, settled(), settled({ destination: `${number}0` })])

    for (const { stdout } of [
      await run(['export', '--destination', number]),
      await run(['export', '--destination', '-'], { input: `${number}\n` }),
    ])
      expect(rowsIn(stdout)).toEqual(theirs)
  })

  test('knows a number however it is written, also by an earlier release', async ({ path, open, run }) => {
    const written = '+34 699-999-999'
    const theirs = [
      settled({ destination: number }),
      settled({ destination: written }),
      settled({ destination: written, platform: 'telegram' }),
    ]
    await (await open(path)).load([...theirs, settled()])

    const exported = async (name: string) => rowsIn((await run(['export', '--destination', name])).stdout)
    expect(await exported('(+34) 699 999 999')).toEqual(theirs.slice(0, 2))
    expect(await exported(written)).toEqual(theirs)
  })

  test('holds still for a slow reader, and ends in silence when it leaves', async ({ path, open, program }) => {
    const store = await open(path)
    await fill(
      store,
      Array.from({ length: 20_000 }, () => settled({ answer: 'x'.repeat(1_000) })),
    )
    const { child, exited } = program(['export'])
    const stderr = child.stderr.toArray()
    await once(child.stdout, 'readable')
    expect(child.exitCode).toBe(null) // 20 MB fit into no pipe
    child.stdout.destroy()

    expect(await exited).toEqual([0, null])
    expect(await stderr).toEqual([])
  })

  test.skipIf(!existsSync('/dev/full'))('says that the disk it writes to is full (needs /dev/full)', async ({ path, url, open }) => {
    await (await open(path)).load([settled()])
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, ['src/cli/store.ts', 'export'], { env: { STORE_URL: url }, stdio: ['ignore', full, 'pipe'] })
    const [stderr, [code]] = await Promise.all([child.stderr?.toArray(), once(child, 'exit')])
    closeSync(full)

    expect([code, stderr?.join('')]).toEqual([1, 'The output cannot be written (ENOSPC)\n'])
  })
})
