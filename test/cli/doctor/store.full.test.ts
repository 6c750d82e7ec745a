import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { installed } from '../../store/stores.ts'
import { test } from './doctor.ts'

describe('the store', () => {
  const at = (path: string) => ({ env: { STORE_URL: `sqlite:${path}` } })

  test('that is not there yet is not made', async ({ examine, dir }) => {
    const { named, wrong } = await examine(at(join(dir, 'new', 'folder', 'ledger.sqlite')))

    expect(wrong).toEqual([])
    expect(named('place')).toMatchObject([{ verdict: 'note', detail: expect.stringContaining('can create it') }])
    expect(readdirSync(dir)).toEqual([])
  })

  test('that cannot be made is broken', async ({ examine, dir }) => {
    writeFileSync(join(dir, 'file'), '')
    const { wrong } = await examine(at(join(dir, 'file', 'ledger.sqlite')))

    expect(wrong.length).toBe(1)
    expect(readdirSync(dir)).toEqual(['file'])
  })

  test('in memory forgets', async ({ examine }) => {
    const { named, code } = await examine({ env: { STORE_URL: 'sqlite::memory:' } })

    expect(named('place')).toMatchObject([{ verdict: 'warning', todo: expect.stringContaining('STORE_URL') }])
    expect(code).toBe(1)
  })

  test('is written and read beside a gateway, and left as it was', async ({ examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    const gateway = await start({ env: { STORE_URL: `sqlite:${path}` } })
    await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })
    const rows = () => {
      const db = new DatabaseSync(path, { readOnly: true })
      const all = ['sends', 'secrets'].map(table => db.prepare(`SELECT * FROM ${table}`).all())
      const owners = db.prepare('SELECT owner FROM leases').all()
      db.close()
      return [...all, owners]
    }
    const before = rows()

    const { named, wrong } = await examine()

    expect(wrong).toEqual([])
    expect(named('writing')).toMatchObject([{ verdict: 'ok' }])
    expect(named('reading')).toMatchObject([{ verdict: 'ok', facts: { problems: 0, maxMb: 1024 } }])
    expect(rows()).toEqual(before)
    expect((await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' })).status).toBe(201)
    await gateway.drain() // before its folder goes: a ledger that is deleted is made again
  })

  /** A ledger that a gateway has left. */
  const ledger = async (start: () => Promise<{ drain(): Promise<unknown> }>) => (await start()).drain()

  test('that is nearly full is a warning', async ({ examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    const env = { STORE_URL: `sqlite:${path}`, STORE_MAX_MB: '1' }
    await ledger(() => start({ env }))
    const db = new DatabaseSync(path)
    db.exec(`INSERT INTO secrets VALUES ('padding', zeroblob(800000))`)
    db.close()

    const { named } = await examine({ env })

    expect(named('reading')).toMatchObject([{ verdict: 'warning', todo: expect.stringContaining('STORE_MAX_MB') }])
  })

  test.for([
    ['is of a newer release', 'PRAGMA user_version = 99', /schema version 99/],
    ['is of another program', 'PRAGMA application_id = 7', /another program/],
  ] as const)('that %s is broken, and is not touched', async ([, sql, detail], { examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    await ledger(() => start({ env: { STORE_URL: `sqlite:${path}` } }))
    const db = new DatabaseSync(path)
    db.exec(sql)
    db.close()
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['opening'])
    expect(named('opening')).toMatchObject([{ verdict: 'broken', detail: expect.stringMatching(detail) }])
    expect(existsSync(`${path}-wal`)).toBe(false)
  })

  test('of an older release is not touched: a gateway of that release may be running', async ({ examine, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    copyFileSync(new URL('../../store/fixtures/version-1.sqlite', import.meta.url), path)
    const before = readFileSync(path)

    const { code, named } = await examine()

    expect(code).toBe(0)
    expect(named('version')).toMatchObject([{ verdict: 'note', facts: { found: 1 } }])
    expect(readFileSync(path)).toEqual(before)
  })

  test('that is no database is broken', async ({ examine, dir }) => {
    writeFileSync(join(dir, 'ledger.sqlite'), 'cn1'.repeat(1000))
    const { named, wrong } = await examine()

    expect(wrong).toEqual(['writing', 'reading', 'queue'])
    expect(named('writing')).toMatchObject([{ facts: { fault: 'corrupt' } }])
  })

  test('that is too large is broken', async ({ examine, start, dir }) => {
    const path = join(dir, 'ledger.sqlite')
    await ledger(() => start({ env: { STORE_URL: `sqlite:${path}` } }))
    const db = new DatabaseSync(path)
    db.exec(`INSERT INTO secrets VALUES ('padding', zeroblob(2000000))`)
    db.close()
    const { named, wrong } = await examine({ env: { STORE_MAX_MB: '1' } })

    expect(wrong).toEqual(['size'])
    expect(named('size')[0]?.todo).toContain('STORE_MAX_MB')
  })

  // The superuser writes anywhere: it has to give that right away first
  const root = process.getuid?.() === 0
  const barred = root ? ['setpriv', '--bounding-set=-dac_override', '--'] : []
  test.skipIf(root && !installed('setpriv'))(
    'that cannot be written is read all the same (needs setpriv when run by root)',
    async ({ examine, start, dir }) => {
      const path = join(dir, 'ledger.sqlite')
      await ledger(() => start({ env: { STORE_URL: `sqlite:${path}` } }))
      chmodSync(path, 0o400)
      const { named, wrong } = await examine({ under: barred })

      expect(wrong).toEqual(['writing'])
      expect(named('writing')).toMatchObject([{ facts: { fault: 'readonly' } }])
      expect(named('reading')).toMatchObject([{ verdict: 'ok' }])
    },
  )

  test.skipIf(root && !installed('setpriv'))(
    'that is not there is broken in a folder that cannot be written (needs setpriv when run by root)',
    async ({ examine, dir }) => {
      chmodSync(dir, 0o500)
      const { wrong } = await examine({ under: barred })

      expect(wrong).toEqual(['place'])
      chmodSync(dir, 0o700)
    },
  )
})
