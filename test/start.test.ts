import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { migrate, migrations, versionOf } from '../src/store/sqlite/schema.ts'
import { hasIpv6, test } from './gateway.ts'

test.for(['PORT', 'ADMIN_PORT'])(
  'A gateway whose %s is taken leaves the ledger to the release that may be using it',
  async (name, { gateway, start, ledgerFile }) => {
    using db = new DatabaseSync(ledgerFile)
    migrate(db, migrations.slice(0, 10))
    const { port } = new URL(name === 'PORT' ? gateway.url : String(gateway.adminUrl))

    await expect(start({ env: { [name]: port, STORE_URL: `sqlite:${ledgerFile}` } })).rejects.toThrow('EADDRINUSE')
    expect(versionOf(db)).toBe(10)
  },
)

test.skipIf(!hasIpv6)('A gateway on an IPv6 address says so as URLs have it', async ({ start }) => {
  const { url, adminUrl, get } = await start({ env: { HOST: '::1', ADMIN_HOST: '::1' } })

  for (const one of [url, adminUrl]) expect(one).toMatch(/^http:\/\/\[::1\]:[1-9]\d+$/)
  expect((await get('/me')).status).toBe(200)
})
