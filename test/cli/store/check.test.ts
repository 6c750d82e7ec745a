import { readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { figures, fill, settled, test } from './command.ts'

describe('npm run store -- check', () => {
  test('counts what is there', async ({ path, open, run }) => {
    const old = Date.parse('2026-01-02T03:04:05.678Z')
    const store = await open(path)
    await store.load([
      settled({ createdAt: old }),
      settled({ createdAt: old + 1_000 }),
      settled({ state: 'unknown', createdAt: old + 500 }),
    ])
    const { code, stdout, stderr } = await run(['check'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const none = { queued: 0, pending: 0, rejected: 0, not_sent: 0, expired: 0, canceled: 0 }
    expect(figures(stdout)).toMatchObject({ sends: 3, accepted: 2, unknown: 1, ...none })
    expect(stdout).toMatch(/problems +none\n/)
    expect(stdout).toMatch(/oldest +2026-01-02T03:04:05.678Z\nnewest +2026-01-02T03:04:06.678Z\n/)
  })

  test.for([
    [
      'an index that lost rows',
      (path: string) => tamper(path, "DELETE FROM sends WHERE idempotencyKey LIKE '%7'"),
      /missing from index|wrong # of entries/,
    ],
    ['pages that are not ours', (path: string) => overwrite(path, -3 * 4_096), /Tree \d+|malformed|damaged/],
    ['a beginning that is not ours', (path: string) => overwrite(path, 0), /damaged, or no database/],
  ] as const)('finds %s', async ([, damage, words], { path, open, run }) => {
    const store = await open(path)
    await fill(
      store,
      Array.from({ length: 500 }, (_, n) => settled({ idempotencyKey: `k${n}` })),
    )
    await store.close()
    damage(path)
    const { code, stdout, stderr } = await run(['check'])

    expect(code).toBe(1)
    expect(stdout + stderr).toMatch(words)
    expect(stdout).not.toMatch(/problems +none/)
  })
})

/** Changes the table behind the back of an index. */
function tamper(path: string, sql: string) {
  const db = new DatabaseSync(path)
  const index = "type = 'index' AND name = 'sendsByDestination'"
  const { sql: made } = db.prepare(`SELECT sql FROM sqlite_schema WHERE ${index}`).get() as { sql: string } // made by us
  const { rootpage } = db.prepare(`SELECT rootpage FROM sqlite_schema WHERE ${index}`).get() as { rootpage: number }
  db.enableDefensive(false)
  db.exec(`PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE ${index}`)
  db.close()
  const blind = new DatabaseSync(path)
  blind.enableDefensive(false)
  blind.exec(sql)
  blind.exec('PRAGMA writable_schema = ON')
  blind.prepare("INSERT INTO sqlite_schema VALUES ('index', 'sendsByDestination', 'sends', ?, ?)").run(rootpage, made)
  blind.close()
}

function overwrite(path: string, from: number) {
  const bytes = readFileSync(path)
  const start = from < 0 ? bytes.length + from : from
  writeFileSync(path, bytes.fill('?', start, start + 3 * 4_096))
}
