import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { migrate, migrations, recognise, versionOf } from '../../../src/store/sqlite/schema.ts'
import { type Sender, StoreVersionError } from '../../../src/store/store.ts'
import { created } from '../event-contract.ts'
import { crm, ended, send, shop } from '../sends.ts'
import { refused, test, unavailable } from '../stores.ts'

describe('versions', () => {
  test('a newer store is refused and not touched', async ({ open, path }) => {
    await (await open()).close()
    const db = new DatabaseSync(path)
    db.exec(`PRAGMA user_version = ${migrations.length + 1}`)
    db.close()
    const before = readFileSync(path)

    await expect(open()).rejects.toThrow(StoreVersionError)
    expect(readFileSync(path)).toEqual(before)
  })

  test("another program's database is refused and not touched", async ({ open, path, dir }) => {
    const db = new DatabaseSync(path)
    db.exec('CREATE TABLE theirs (x)')
    db.close()
    const before = readFileSync(path)

    await expect(open()).rejects.toThrow(StoreVersionError)
    expect(readFileSync(path)).toEqual(before)
    expect(readdirSync(dir)).toEqual(['gateway.sqlite'])
  })

  test('a release that is overtaken while it runs writes no more', async ({ open, path, states }) => {
    const store = await open()
    const db = new DatabaseSync(path)
    db.exec(`PRAGMA user_version = ${migrations.length + 1}`)

    expect(await refused(store.claim(send()))).toBeInstanceOf(StoreVersionError)
    expect(states).toEqual(['version'])
    db.close()
  })

  test('the file of the first release opens with all that was in it', async ({ open, path }) => {
    copyFileSync(join(import.meta.dirname, '..', 'fixtures', 'version-1.sqlite'), path)
    const store = await open({ now: () => 10_000 })

    const states = (await store.list(crm, { limit: 10 })).map(({ state }) => state)
    expect(states).toEqual(['unknown', 'not_sent', 'rejected', 'accepted', 'pending'])
    const reference = 'first release'
    expect(await store.list(crm, { reference, limit: 10 })).toEqual([
      { ...send({ id: '0196a000-0000-7000-8000-000000000002', idempotencyKey: 'k2', reference }), ...ended('accepted') },
    ])
    expect(await store.claim(send({ idempotencyKey: 'k2' }))).toMatchObject({ claimed: false, existing: { state: 'accepted' } })
    const id = '0196a000-0000-7000-8000-999999999999'
    expect(await store.claim(send({ id }), 3), 'the sends of that day count').toEqual({ claimed: false })
    expect(await store.claim(send({ id }), 4)).toEqual({ claimed: true })
    expect(Buffer.from(await store.secret()).toString('hex')).toBe('5'.repeat(64))
  })

  test('the file of the release before opens with all that was in it, numbers in any spelling included', async ({ open, path }) => {
    copyFileSync(join(import.meta.dirname, '..', 'fixtures', 'version-2.sqlite'), path)
    const store = await open({ now: () => 10_000, monotonic: () => 10_000 })
    const numberOf = async (sender: Sender, destination: string) =>
      (await store.list(sender, { destination, limit: 10 })).map(({ id }) => Number(id.slice(-3)))

    expect(await store.dump()).toHaveLength(10)
    expect((await store.list(crm, { idempotencyKey: 'k4', limit: 10 })).map(({ state }) => state)).toEqual(['accepted', 'not_sent'])
    for (const [key, state] of [
      ['k1', 'pending'],
      ['k2', 'accepted'],
      ['k3', 'rejected'],
      ['k5', 'unknown'],
    ] as const)
      expect(await store.claim(send({ idempotencyKey: key }))).toMatchObject({ claimed: false, existing: { state } })
    expect([await numberOf(crm, '34600000001'), await numberOf(shop, '34600000001')]).toEqual([[9, 7], [8]])
    expect(await numberOf(crm, '+34 600-000-001')).toEqual([10, 7])
    expect(await store.claim(send({ id: '0196a000-0000-7000-8000-999999999999' }), 7), 'the sends of that day count').toEqual({
      claimed: false,
    })
    expect(Buffer.from(await store.secret()).toString('hex')).toBe('5'.repeat(64))
    expect(await store.forget('34600000001')).toEqual({ gone: 3, pending: 0 })
    expect((await store.check()).problems).toEqual([])
  })

  test('the file of version 3 opens with all that was in it, and takes events', async ({ open, path }) => {
    copyFileSync(join(import.meta.dirname, '..', 'fixtures', 'version-3.sqlite'), path)
    const store = await open({ now: () => 10_000, monotonic: () => 10_000 })

    expect((await store.dump()).map(({ state }) => state)).toEqual(['pending', 'accepted', 'rejected', 'not_sent', 'unknown'])
    expect(await store.media.usage()).toEqual({ files: 0, bytes: 0 })
    expect(await store.claim(send({ idempotencyKey: 'k2' }))).toMatchObject({ claimed: false, existing: { state: 'accepted' } })
    expect(await store.claim(send({ id: '0196a000-0000-7000-8000-999999999999' }), 3), 'the sends of that day count').toEqual({
      claimed: false,
    })
    expect(Buffer.from(await store.secret()).toString('hex')).toBe('5'.repeat(64))
    await store.log.open('main')
    await store.log.append('main', { events: [created('1')] })
    expect((await store.log.read('main', 0, 10)).events).toHaveLength(1)
  })

  test('a file of version 10 opens with what is queued, and no account waits for another', async ({ open, path }) => {
    const db = new DatabaseSync(path)
    migrate(db, migrations.slice(0, 10))
    const add = (table: string, row: Record<string, string | number>) =>
      db.prepare(`INSERT INTO ${table} (${Object.keys(row)}) VALUES (${Object.keys(row).map(() => '?')})`).run(...Object.values(row))
    const rows = ['main', 'main', 'main', 'shop'].map((account, n) => {
      const row = { ...send({ account, destination: String(n), dueAt: 2_000 + n, expiresAt: 60_000 }), state: 'queued' } as const
      const { id, caller, dueAt = 0, expiresAt = 0 } = row
      add('sends', row)
      add('queue', {
        id,
        caller,
        account,
        chat: String(n),
        dueAt,
        nextAt: dueAt,
        expiresAt,
        attempts: 0,
        sealed: 'key.body',
        state: 'ready',
      })
      return row
    })
    db.close()
    const store = await open({ now: () => 10_000, monotonic: () => 10_000 })

    const { due } = await store.takeDue('first', 4, new Map([['main', 1]]))
    expect(due).toEqual(
      [rows[3], rows[0]].map(row => ({ row: { ...row, state: 'pending', startedAt: 10_000 }, sealed: 'key.body', attempts: 1 })),
    )
    const columns = new DatabaseSync(path, { readOnly: true }).prepare(`SELECT name FROM pragma_index_info('queueByState')`).all()
    expect(
      columns.map(({ name }) => name),
      'the first of an account is found without those before it',
    ).toEqual(['state', 'account', 'nextAt'])
  })

  test('the log says once that the file of an older release is migrated', async ({ open, path }) => {
    copyFileSync(join(import.meta.dirname, '..', 'fixtures', 'version-3.sqlite'), path)
    const warnings: string[] = []
    const onWarning = (warning: string) => warnings.push(warning)
    await (await open({ onWarning })).close()
    await (await open({ onWarning })).close()

    expect(warnings).toEqual([
      `migrating the ledger from schema version 3 to ${migrations.length}: until it is done, sends get 503; afterwards, older releases cannot use it`,
    ])
  })

  test('a migration that fails is not begun again with each send, but is once it can succeed', async ({ open, path }) => {
    copyFileSync(join(import.meta.dirname, '..', 'fixtures', 'version-1.sqlite'), path)
    using db = new DatabaseSync(path)
    db.exec('CREATE TABLE fences (inTheWay INTEGER)')
    const warnings: string[] = []
    const store = await open({ onWarning: warning => warnings.push(warning) })
    for (let n = 0; n < 200; n++) expect(await refused(store.claim(send()))).toEqual(unavailable('corrupt'))

    expect(warnings.slice(0, 2)).toEqual([
      expect.stringContaining(`migrating the ledger from schema version 1 to ${migrations.length}`),
      expect.stringContaining(`the migration of the ledger to schema version ${migrations.length} failed (corrupt)`),
    ])
    expect(warnings.length, 'two for each try').toBeLessThan(200)
    expect(versionOf(db)).toBe(1)
    db.exec('DROP TABLE fences')
    await expect.poll(() => store.claim(send()).catch(() => undefined)).toEqual({ claimed: true })
    expect((await store.check()).problems).toEqual([])
  })

  test('migrations run all or none', ({ path }) => {
    const db = new DatabaseSync(path)
    migrate(db)
    const newer = [...migrations, 'ALTER TABLE sends ADD COLUMN extra TEXT', 'CREATE TABLE more (x TEXT) STRICT']

    expect(() => migrate(db, [...newer, 'no such statement'])).toThrow()
    expect(versionOf(db)).toBe(migrations.length)
    migrate(db, newer)
    expect(versionOf(db)).toBe(migrations.length + 2)
    expect(db.prepare('SELECT extra FROM sends').all()).toEqual([])
    expect(() => recognise(db)).toThrow(StoreVersionError)
    db.close()
  })
})
