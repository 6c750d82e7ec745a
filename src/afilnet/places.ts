/** A bounded number of places with a bounded queue in front. */
export type Places = {
  /**
   * Calls `go` as soon as there is a place, at once if one is free; `undefined` if the queue is full.
   *
   * The function that comes back gives the place up, or leaves the queue; calling it twice does no harm.
   */
  enter(go: () => void): (() => void) | undefined
  /** How many leave before one who comes now; 0 if there is a place. */
  ahead(): number
}

export function createPlaces(capacity: number, queueLength: number): Places {
  const waiting = new Set<() => void>()
  let taken = 0

  function leave() {
    const [next] = waiting
    if (!next) return void taken--
    waiting.delete(next)
    next()
  }

  return {
    ahead: () => (taken < capacity ? 0 : waiting.size + 1),
    enter(go) {
      let state: 'waiting' | 'inside' | 'gone' = 'waiting'
      const start = () => {
        state = 'inside'
        go()
      }
      if (taken < capacity) {
        taken++
        start()
      } else if (waiting.size < queueLength) waiting.add(start)
      else return undefined

      return () => {
        if (state === 'inside') leave()
        else waiting.delete(start)
        state = 'gone'
      }
    },
  }
}
