import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { policy } from '../../store/sends.ts'
import { figures, number, test } from './command.ts'

const failed = (position: number, destination: string) => ({
  position,
  eventId: `e${position}`,
  type: 'message.created',
  at: position,
  destination,
  attempts: 5,
  lastStatus: 400,
  lastError: null,
  lastAttemptAt: 1,
})
const crm = { name: 'crm', account: 'main', state: '{"position":7}', failed: [failed(1, number), failed(2, '34600000000')] }

describe('npm run store', () => {
  test('knows webhooks: counts, exports, copies and forgets what they failed to deliver', async ({ dir, url, run }) => {
    const store = await openStore(url, policy)
    await store.deliveries.loadWebhook(crm)
    const copy = `sqlite:${join(dir, 'copy.sqlite')}`
    const checked = await run(['check'])
    const copied = await run(['copy', url, copy])
    const exported = await run(['export', '--destination', number])
    const forgotten = await run(['forget', number])

    expect(figures(checked.stdout)).toMatchObject({ webhooks: 1, failed: 2 })
    expect(figures(copied.stdout)).toMatchObject({ webhooks: 1 })
    expect(JSON.parse(exported.stdout)).toEqual({ webhook: 'crm', ...failed(1, number) })
    expect(forgotten.code).toBe(0)
    expect(await store.deliveries.failed('crm', -1, 10)).toEqual([failed(2, '34600000000')])
    await store.close()
    const target = await openStore(copy, policy)
    expect(await target.deliveries.dumpWebhooks()).toEqual([crm])
    await target.close()
  })
})
