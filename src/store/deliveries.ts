/** An event that the endpoint of a webhook refused five times; never the text of a message. */
export type FailedDelivery = {
  /** Of the event in the log of its account. */
  position: number
  eventId: string
  type: string
  at: number
  destination: string | null
  attempts: number
  lastStatus: number | null
  lastError: string | null
  lastAttemptAt: number
}

/** What the deliverer of a webhook knows: opaque text that names no chat. */
export type SavedWebhook = { account: string; state: string }

/** One transaction of the process that delivers. */
export type DeliveryChange = {
  saved: SavedWebhook
  failed: readonly FailedDelivery[]
  /** Positions that are not failed any more; with `clearedAfter`, all after that one, too. */
  cleared: readonly number[]
  clearedAfter?: number
  /** Requests up to this id have been handled. */
  handled: number
}

/** What an operator asked of the process that delivers, such as to deliver again. */
export type DeliveryRequest = { id: number; request: string }

/** One webhook as `copy` moves it. */
export type ArchivedWebhook = SavedWebhook & { name: string; failed: FailedDelivery[] }

/**
 * How far each webhook has come in the log of its account, and what its endpoint has refused.
 *
 * Every verb is atomic, durable when it resolves, and rejects with `StoreUnavailableError`. `forget` of the archive erases the failed
 * deliveries of a destination, too.
 */
export type Deliveries = {
  /** What was saved last, and the requests that are not handled yet, the oldest first. */
  webhook(name: string): Promise<{ saved?: SavedWebhook; requests: DeliveryRequest[] }>
  /** Applies a change of the holder of a lease; `false` where its fence is old: then nothing was applied. */
  save(name: string, lease: { name: string; fence: number }, change: DeliveryChange): Promise<boolean>
  /** Leaves a request for the process that delivers; of more than a hundred the oldest are dropped. */
  request(name: string, request: string): Promise<void>
  /** Failed deliveries after a position, the oldest first, a thousand at most. */
  failed(name: string, after: number, limit: number): Promise<FailedDelivery[]>
  /** Deletes failed deliveries of events older than `keepMs`; returns how many. Nothing until the clock has been steady for ten minutes. */
  deleteFailed(keepMs: number): Promise<number>
  dumpWebhooks(): Promise<ArchivedWebhook[]>
  /** Takes a webhook over as it is, unless it is known; returns whether it did. */
  loadWebhook(webhook: ArchivedWebhook): Promise<boolean>
}

const pageRows = 1_000

/** Every webhook of these names, for `dumpWebhooks` of both adapters. */
export async function archiveOf(
  names: readonly string[],
  { webhook, failed }: Pick<Deliveries, 'webhook' | 'failed'>,
): Promise<ArchivedWebhook[]> {
  const found: ArchivedWebhook[] = []
  for (const name of names) {
    const { saved } = await webhook(name)
    const rows: FailedDelivery[] = []
    for (let page = await failed(name, -1, pageRows); page.length > 0; page = await failed(name, rows.at(-1)?.position ?? 0, pageRows))
      rows.push(...page)
    if (saved) found.push({ name, ...saved, failed: rows })
  }
  return found
}
