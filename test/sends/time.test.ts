import { describe, expect, onTestFinished, test } from 'vitest'
import type { SendRequest } from '../../src/sends/request.ts'
import { Sends, type SendsOptions } from '../../src/sends/sends.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { policy, send } from '../store/sends.ts'

const never = () => new Promise<never>(() => {})

const request = (run: () => Promise<void> = async () => {}): SendRequest => {
  const { caller, account, user, kind, platform, platformId, destination } = send()
  const who = { caller, account, user, kind, platform, platformId, destination }
  return { ...who, idempotencyKey: 'k', body: { message: 'Hello' }, requestId: 'request-1', attempt: { admit() {}, run } }
}

/** Sends on a ledger in memory, some of whose verbs are replaced. */
async function open({ verbs = {}, ...options }: Omit<SendsOptions, 'store' | 'base'> & { verbs?: Partial<Store> }) {
  const store = await openStore('sqlite::memory:', policy)
  const sends = new Sends({ store: { ...store, ...verbs }, base: '', ...options })
  onTestFinished(async () => {
    await sends.stop()
    await store.close()
  })
  return sends
}

describe('A store that hangs', () => {
  // The test would time out long before the budget of a call to Afilnet
  test.for(['claim', 'secret'] as const)('refuses a send before anything leaves: %s', async verb => {
    let calls = 0
    const sends = await open({ verbs: { [verb]: never }, timeoutMs: 600_000 })
    const sending = sends.run(request(async () => void calls++))

    await expect(sending).rejects.toMatchObject({ code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' })
    expect(calls).toBe(0)
  })

  test('does not hold up the end of the process', async () => {
    const sends = await open({ verbs: { settle: never, release: never }, timeoutMs: 600_000 })
    void sends.run(request()).catch(() => {})

    await expect(sends.stop()).resolves.toBe(undefined)
  })
})

describe('A clock that is set back during a send', () => {
  test('does not date its end before its beginning, so that its key is kept as long as any other', async () => {
    const createdAt = Date.now()
    const times = [createdAt]
    const sends = await open({ now: () => times.shift() ?? createdAt - 86_400_000 })
    const { send } = await sends.run(request())

    expect(send).toMatchObject({ state: 'accepted', createdAt: send.settledAt })
  })
})
