import { Problem } from '../problem/problem.ts'

/** Who holds a slot; `evict` ends what it is held for, so that another one finds room. */
type Holder = { key: string; tokenId: string | undefined; maxOfKey: number | undefined; evict: () => void }

const maxOfToken = 5

/**
 * How many streams and long polls there may be. One key may hold all, but once they are all held, it gives way to others down to a half.
 *
 * A full set throws `overloaded`, a key or token beyond its own limit `too-many-streams`.
 */
export class Slots {
  readonly #max: number
  readonly #byKey = new Map<string, Map<Holder, () => void>>()
  readonly #tokens = new Map<string, number>()
  #held = 0

  constructor(max: number) {
    this.#max = max
  }

  take(holder: Holder): () => void {
    const { key, tokenId, maxOfKey } = holder
    const own = this.#byKey.get(key) ?? new Map<Holder, () => void>()
    const ofToken = tokenId === undefined ? 0 : (this.#tokens.get(tokenId) ?? 0)
    if (ofToken >= maxOfToken) throw new Problem('too-many-streams', { detail: `A token may have ${maxOfToken} streams at a time.` })
    if (maxOfKey !== undefined && own.size >= maxOfKey)
      throw new Problem('too-many-streams', { detail: `This key may have ${maxOfKey} streams at a time.` })
    if (this.#held >= this.#max) this.#makeRoomFor(own)
    this.#byKey.set(key, own)
    if (tokenId !== undefined) this.#tokens.set(tokenId, ofToken + 1)
    this.#held++
    const release = () => {
      if (!own.delete(holder)) return
      this.#held--
      if (own.size === 0) this.#byKey.delete(key)
      if (tokenId === undefined) return
      const left = (this.#tokens.get(tokenId) ?? 1) - 1
      if (left === 0) this.#tokens.delete(tokenId)
      else this.#tokens.set(tokenId, left)
    }
    own.set(holder, release)
    return release
  }

  /** The newest of the key with the most gives way, if that is more than half. */
  #makeRoomFor(own: ReadonlyMap<Holder, unknown>) {
    const half = this.#max / 2
    const [most] = [...this.#byKey.values()].sort((a, b) => b.size - a.size)
    if (!most || most.size <= half || own.size >= half) {
      throw new Problem('overloaded', { detail: 'Too many streams and long polls are open.' })
    }
    const [holder, release] = [...most].at(-1) ?? []
    release?.()
    holder?.evict()
  }
}
