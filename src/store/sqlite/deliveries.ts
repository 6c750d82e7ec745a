import { archiveOf, type Deliveries } from '../deliveries.ts'
import type { Thread } from './thread.ts'

/** Webhooks in a SQLite file. */
export function createDeliveries(writer: Thread, reader: Thread): Deliveries {
  const deliveries: Deliveries = {
    webhook: name => reader.call('webhook', [name]),
    save: (name, lease, change) => writer.call('saveWebhook', [name, lease, change]),
    request: (name, request) => writer.call('requestOfWebhook', [name, request]),
    failed: (name, after, limit) => reader.call('failedOf', [name, after, limit]),
    deleteFailed: keepMs => writer.call('deleteFailed', [keepMs]),
    dumpWebhooks: async () => archiveOf(await reader.call('webhookNames', []), deliveries),
    loadWebhook: webhook => writer.call('loadWebhook', [webhook]),
  }
  return deliveries
}
