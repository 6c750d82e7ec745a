type Options = {
  limit: number
  /** Whether someone more important needs the resource now. */
  mustYield: () => boolean
  /** After this wait a slot is given all the same. */
  patienceMs: number
}

const checkEveryMs = 20

type SlotWaiter = { since: number; grant: () => void }

/** A bounded number of slots for work that gives way to other work, in order of arrival. */
export class YieldingSlots {
  readonly #options: Options
  readonly #waiting: SlotWaiter[] = []
  #taken = 0
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(options: Options) {
    this.#options = options
  }

  acquire(): Promise<void> {
    return new Promise(grant => {
      this.#waiting.push({ since: performance.now(), grant })
      this.#grant()
    })
  }

  release() {
    this.#taken--
    this.#grant()
  }

  #grant() {
    const { limit, mustYield, patienceMs } = this.#options
    for (let next = this.#waiting[0]; next && this.#taken < limit; next = this.#waiting[0]) {
      if (mustYield() && performance.now() - next.since < patienceMs) break
      this.#waiting.shift()
      this.#taken++
      next.grant()
    }
    clearTimeout(this.#timer)
    // A slot that comes free asks again; whether to yield must be asked.
    if (this.#waiting.length > 0 && this.#taken < limit) this.#timer = setTimeout(() => this.#grant(), checkEveryMs)
  }
}
