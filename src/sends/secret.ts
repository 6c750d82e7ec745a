import { createSecretKey, type KeyObject } from 'node:crypto'
import { type Store, within } from '../store/store.ts'
import { throwUnavailable } from './refusals.ts'

/** The secret of the store, which keys every fingerprint: it is read once, and again when another store may be in its place. */
export class StoreSecret {
  readonly #store: Store
  readonly #timeoutMs: number
  #reading: Promise<KeyObject> | undefined
  #last: KeyObject | undefined
  /** Another number once the secret may be another one. */
  version = 0

  constructor(store: Store, timeoutMs: number) {
    this.#store = store
    this.#timeoutMs = timeoutMs
  }

  /** Throws `store-unavailable` and `ledger-changed`. */
  read(): Promise<KeyObject> {
    this.#reading ??= within(this.#timeoutMs, this.#store.secret())
      .then(secret => {
        this.#last = createSecretKey(secret)
        return this.#last
      })
      .catch(error => {
        this.#reading = undefined
        return throwUnavailable(error)
      })
    return this.#reading
  }

  /** While the store is away or cannot be read, the last one that was read. Throws as `read` does if there is none. */
  readOrLast(isAway: boolean): Promise<KeyObject> {
    const last = this.#last
    if (!last) return this.read()
    return isAway ? Promise.resolve(last) : this.read().catch(() => last)
  }

  forget() {
    this.#reading = undefined
  }

  /** To call when the store was lost: another one, with another secret, may be in its place when it is back. */
  replaced() {
    this.version++
    this.forget()
  }
}
