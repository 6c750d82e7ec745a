import { setTimeout as sleep } from 'node:timers/promises'
import { keys } from './configuration.ts'
import type { GatewayProcess } from './gateway-process.ts'

export type Event = { id: string; type: string; destination: string | null; messageId: string | null; send?: { id: string; state: string } }

const headers = { authorization: `Bearer ${keys.shop}` }

export type Consumer = ReturnType<typeof startConsumer>

/** A consumer that remembers its cursor only: it is cut off at random, and asks any gateway again. */
export function startConsumer(gateways: readonly GatewayProcess[], random: () => number) {
  const seen: Event[] = []
  let stopped = false
  let cursor = ''
  async function run() {
    while (!stopped) {
      const gateway = gateways[random() < 0.5 ? 0 : 1]
      const abort = new AbortController()
      const timer = setTimeout(() => abort.abort(), random() < 0.2 ? 50 : 10_000)
      try {
        const query = `limit=200&wait=2${cursor && `&after=${cursor}`}`
        const reply = await fetch(`${gateway?.url()}/events?${query}`, { headers, signal: abort.signal })
        const page = (await reply.json()) as { items?: Event[]; nextCursor?: string }
        if (!page.items || page.nextCursor === undefined) await sleep(200)
        else {
          seen.push(...page.items)
          cursor = page.nextCursor
        }
      } catch {
        await sleep(100) // the gateway is gone, or the consumer was cut off
      } finally {
        clearTimeout(timer)
      }
    }
  }
  const running = run()
  return {
    seen,
    async stop() {
      stopped = true
      await running
    },
  }
}
