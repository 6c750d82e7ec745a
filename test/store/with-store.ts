import { test as base } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import type { Store } from '../../src/store/store.ts'
import { policy } from './sends.ts'

/** A test with a store of its own, whose clock begins at `ms` and moves only when the test says so. */
export const withStore = <S extends Store>(open: (options: StoreOptions) => Promise<S>, ms = 1_000) =>
  base.extend<{ clock: { ms: number }; store: S }>({
    // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
    clock: async ({}, use) => use({ ms }),
    store: async ({ clock }, use) => {
      const store = await open({ ...policy, now: () => clock.ms, monotonic: () => clock.ms })
      await use(store)
      await store.close()
    },
  })
