import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'

const channel = { platform: 'whatsapp', platformid: '100' }

/** Customers who write to some conversations, old and new, until the end; gives the ids of each conversation. */
export function write({ receive }: Sandbox) {
  const ids = new Map<string, string[]>()
  let goesOn = true
  const writing = (async () => {
    for (let n = 0; goesOn; n++) {
      const destination = `3460000000${n % 5}`
      ids.set(destination, [...(ids.get(destination) ?? []), receive({ ...channel, destination, message: `Message ${n}` })])
      await pause(40)
    }
  })()
  return async () => {
    goesOn = false
    await writing
    return [...ids.values()]
  }
}

/** Waits until the channel has its baseline. */
export async function baseline({ calls }: Sandbox) {
  const polls = () => calls.filter(({ params }) => Object.fromEntries(params).method === 'getchats').length
  const before = polls()
  await expect.poll(polls).toBeGreaterThan(before + 1)
}
