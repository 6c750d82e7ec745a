import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { migrate, migrations, versionOf } from '../src/store/sqlite/schema.ts'
import { test } from './gateway.ts'

test('A gateway whose port is taken leaves the ledger to the release that may be using it', async ({ gateway, start, ledgerFile }) => {
  using db = new DatabaseSync(ledgerFile)
  migrate(db, migrations.slice(0, 10))
  const { port: PORT } = new URL(gateway.url)

  await expect(start({ env: { PORT, STORE_URL: `sqlite:${ledgerFile}` } })).rejects.toThrow('EADDRINUSE')
  expect(versionOf(db)).toBe(10)
})
