import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { hasIpv6 } from '../../gateway.ts'
import { test } from './doctor.ts'

describe('a gateway that runs beside the doctor', () => {
  test.for(hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1'])(
    'on %s is asked whether its ledger is still the same',
    async (ADMIN_HOST, { examine, start, dir }) => {
      const file = join(dir, 'ledger.sqlite')
      const gateway = await start({ env: { STORE_URL: `sqlite:${file}`, ADMIN_HOST } })
      const send = () => gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'cn1' }, { 'idempotency-key': 'k' })
      const env = { ADMIN_HOST, ADMIN_PORT: new URL(gateway.adminUrl ?? '').port }
      await send()
      const running = async () => (await examine({ env })).named('running gateway')
      await expect.poll(running).toMatchObject([{ verdict: 'ok' }]) // it gives up after a second
      for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
      await send()
      const replaced = { verdict: 'broken', todo: expect.stringContaining('store -- accept') }
      await expect.poll(running).toMatchObject([replaced])
      await gateway.drain() // before its folder is removed: it would create a deleted ledger again
    },
  )

  test('may not be there', async ({ examine }) => {
    const { named, wrong } = await examine()

    expect(named('running gateway')).toMatchObject([{ verdict: 'skipped' }])
    expect(wrong).toEqual([])
  })
})
