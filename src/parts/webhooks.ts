import type { Config } from '../config/config.ts'
import type { Observe } from '../events.ts'
import type { EventReader, WebhookStore } from '../webhooks/ports.ts'
import type { Webhooks } from '../webhooks/webhooks.ts'

type Options = { store: WebhookStore; reader: () => Promise<EventReader>; observe: Observe; keepMs: number }

/** The webhooks of a running gateway. Nothing of them is loaded before the first is configured. */
export function createWebhookPart({ store, reader, observe, keepMs }: Options) {
  let webhooks: Webhooks | undefined
  let loading: Promise<void> = Promise.resolve()

  async function load(configured: Config['webhooks']) {
    if (webhooks) return webhooks.reload(configured)
    if (Object.keys(configured).length === 0) return
    const { createWebhooks } = await import('../webhooks/webhooks.ts')
    webhooks = createWebhooks({ webhooks: configured, store, reader: await reader(), observe, keepMs })
  }

  return {
    current: () => webhooks,
    report: () => webhooks?.report() ?? [],
    /** Applies the webhooks of another configuration. */
    reload(configured: Config['webhooks']) {
      loading = loading.then(() => load(configured))
      return loading
    },
    async stop() {
      await loading
      await webhooks?.stop()
    },
  }
}
