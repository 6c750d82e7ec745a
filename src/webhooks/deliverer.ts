import { createFeed, startAfterLoss, startNow } from './feed.ts'
import { passes } from './filter.ts'
import { createHealth } from './health.ts'
import { readState, stateAt } from './saved-state.ts'
import { Tenure, type TenureOptions } from './tenure.ts'

export type Deliverer = ReturnType<typeof createDeliverer>

type Options = Omit<TenureOptions, 'lease' | 'holds' | 'lost' | 'onSaved'> & {
  holder: string
  /** The deliverer before this one ends. */
  after: Promise<void>
}

const leaseMs = 10_000
const renewMs = 3_000
/** How long a shutdown waits for what is in flight; it is delivered again otherwise. */
const graceMs = 2_000

/** Takes turns with other processes in delivering for one webhook: one of them holds its lease. */
export function createDeliverer({ holder, after, ...options }: Options) {
  const { store, clock } = options
  const name = `webhook:${options.name}`
  let tenure: Tenure | undefined
  /** The log of what was saved last: what is saved can be lost together with it, which only the memory of a process shows. */
  let identity: string | undefined
  let fence: number | undefined
  let heldUntil = 0
  let stopped = false
  let cancel = () => {}
  let running = Promise.resolve()

  function lost() {
    tenure?.abandon()
    tenure = undefined
    fence = undefined
  }

  async function begin() {
    const at = clock.monotonic()
    fence = await store.leases.acquire(name, holder, leaseMs)
    if (fence === undefined) return readIdentity()
    heldUntil = at + leaseMs
    const onSaved = (of: string) => {
      identity = of
    }
    tenure = await beginTenure({ ...options, lease: { name, fence }, lost, onSaved, holds: () => clock.monotonic() < heldUntil }, identity)
    if (fence === undefined) await end() // lost meanwhile
  }

  /** Another process delivers. */
  async function readIdentity() {
    if (identity) return
    const { saved } = await store.deliveries.webhook(options.name)
    identity = readState(saved, options.webhook.account).state?.identity
  }

  async function renew(tenure: Tenure, fence: number) {
    const at = clock.monotonic()
    if (!(await store.leases.renew(name, fence, leaseMs))) return lost()
    heldUntil = at + leaseMs
    await tenure.check()
    tenure.wake()
  }

  async function end() {
    await tenure?.end(graceMs)
    if (fence !== undefined) await store.leases.release(name, fence).catch(() => {}) // it expires
    tenure = undefined
    fence = undefined
  }

  function turn() {
    running = (tenure && fence !== undefined ? renew(tenure, fence) : begin())
      .catch(() => {}) // the store is away: it is asked again
      .then(() => {
        if (!stopped) cancel = clock.after(renewMs, turn)
      })
  }
  void after.then(() => {
    if (!stopped) turn()
  })

  return {
    news: () => tenure?.news(),
    /** An operator has asked for something. */
    check: async () => tenure?.check(),
    report: () => tenure?.report(),
    async stop() {
      stopped = true
      cancel()
      await running
      await end()
    },
  }
}

/** Reads what is saved of a webhook, and begins to deliver. */
async function beginTenure(options: TenureOptions, lostIdentity: string | undefined): Promise<Tenure> {
  const { name, webhook, endpoint, store, clock, startedAt } = options
  const { account } = webhook
  const { saved, requests } = await store.deliveries.webhook(name)
  const { state: known, formerAccounts } = readState(saved, account)
  const startAnew = () => (saved || lostIdentity === undefined ? startNow(store.log, account) : startAfterLoss(lostIdentity))
  const state = known ? stateAt(endpoint.fingerprint, known) : await startAnew()
  const health = createHealth(state, startedAt)
  const feed = createFeed({ log: store.log, account, clock, wants: event => passes(webhook, event) }, state)
  await feed.restore(state.again)
  const tenure = new Tenure(options, { health, feed, requests, lastError: state.lastError, formerAccounts })
  if (saved?.account === account) options.onSaved(state.identity)
  else await tenure.save() // so that it begins here, whatever happens next
  tenure.wake()
  return tenure
}
