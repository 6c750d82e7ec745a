import type { Config } from '../config/config.ts'
import type { Observe } from '../events.ts'
import { cursorOf, readCursor } from '../live/cursor.ts'
import type { Live } from '../live/live.ts'
import type { EventStore } from '../store/event-log.ts'
import type { EventReader } from '../webhooks/ports.ts'
import type { Webhooks } from '../webhooks/webhooks.ts'

type WebhookParts = { store: EventStore; live: () => Live | undefined; observe: Observe }

/** Connects webhooks with the event log and the text of its events. Nothing of them is loaded before the first is configured. */
export function connectWebhooks({ store, live, observe }: WebhookParts) {
  let webhooks: Webhooks | undefined
  let loading: Promise<void> = Promise.resolve()
  let isStopped = false

  const reader: EventReader = {
    idOf: (account, identity, position, isMade) => cursorOf(account, { identity, position }, isMade),
    readCursor,
    async render(webhook, id, event, learntAt) {
      const events = live()
      if (!events) throw new Error('No account has events')
      return events.write(webhook, id, event, learntAt)
    },
  }

  async function load(configured: Config['webhooks']) {
    if (isStopped) return
    if (webhooks) return webhooks.reload(configured)
    if (Object.keys(configured).length === 0) return
    const { Webhooks } = await import('../webhooks/webhooks.ts')
    webhooks = new Webhooks({ webhooks: configured, store, reader, observe })
  }

  return {
    current: () => webhooks,
    report: () => webhooks?.report() ?? [],
    /** Applies the webhooks of another configuration. */
    reload(configured: Config['webhooks']) {
      loading = loading.catch(() => {}).then(() => load(configured)) // one that failed is tried again
      return loading
    },
    async stop() {
      isStopped = true
      await loading.catch(() => {})
      await webhooks?.stop()
    },
  }
}
