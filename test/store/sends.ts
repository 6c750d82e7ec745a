import type { NewSend, Outcome } from '../../src/store/store.ts'

const hour = 3_600_000

/** One policy for all store tests: only those of a store that hangs may count a slow one as away. */
export const policy = { silentMs: 60_000, keepMs: 168 * hour, keepUnknownMs: 720 * hour, leaseMs: 10_000, maxBytes: 2 ** 30 }

/** Who sends in these tests. */
export const crm = { caller: 'crm', account: 'main' }
export const shop = { caller: 'shop', account: 'main' }

let made = 0
/** A send like any other; its id sorts after those made before it. */
export function send(over: Partial<NewSend> = {}): NewSend {
  const id = `0196a000-0000-7000-8000-${String(++made).padStart(12, '0')}`
  const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
  const who = { caller: 'crm', account: 'main', user: 'ops@example.com', owner: 'first' }
  return { id, kind: 'message', ...chat, ...who, fingerprint: 'f'.repeat(43), createdAt: 1_000, ...over }
}

/** How a send ended, at the given time. */
export const ended = (state: Outcome['state'], settledAt = 2_000): Omit<Outcome, 'late'> => ({
  state,
  settledAt,
  answer: `{"status":"${state}"}`,
})
