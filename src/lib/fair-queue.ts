/** Somebody who asks for a place. */
export type Visitor = {
  caller: string
  /** Called as soon as there is a place, at once if one is free. */
  go: () => void
  /** Called instead, if the place in the queue is needed for a caller who has less. */
  evict?: () => void
}

/**
 * A bounded number of places with a bounded queue in front, shared fairly.
 *
 * A free place goes to the waiting caller who holds the fewest, so while several wait, none gets beyond an equal share. Whoever is
 * alone may take all.
 */
export type Places = {
  /** Gives a function that leaves the place or the queue, once; `undefined` if the caller may not even wait. */
  enter(visitor: Visitor): (() => void) | undefined
  /** Whether `enter` would take the caller in. */
  admits(caller: string): boolean
  load(): { inFlight: number; queued: number }
  /** How many leave, at most, before one of this caller's who comes now; 0 if there is a place. */
  ahead(caller: string): number
}

export function createPlaces(capacity: number, queueLength: number): Places {
  const held = new Map<string, number>()
  /** Who waits, by caller; of those with equally many places the one comes first who was served longest ago. */
  const queues = new Map<string, Set<Visitor>>()
  let taken = 0
  let waiting = 0

  const holds = (caller: string) => held.get(caller) ?? 0
  const waits = (caller: string) => queues.get(caller)?.size ?? 0

  function count(caller: string, change: number) {
    const now = holds(caller) + change
    if (now === 0) held.delete(caller)
    else held.set(caller, now)
  }

  function dequeue(visitor: Visitor) {
    const queue = queues.get(visitor.caller)
    if (!queue?.delete(visitor)) return
    waiting--
    if (queue.size === 0) queues.delete(visitor.caller)
  }

  function admitNext() {
    let fewest: string | undefined
    for (const caller of queues.keys()) if (fewest === undefined || holds(caller) < holds(fewest)) fewest = caller
    const queue = queues.get(fewest ?? '')
    const [next] = queue ?? []
    if (!queue || !next) return void taken--
    queues.delete(next.caller)
    queues.set(next.caller, queue)
    dequeue(next)
    count(next.caller, 1)
    next.go()
  }

  const has = (caller: string) => holds(caller) + waits(caller)

  /** Whose last one would have to make room for a newcomer of this caller, if that is fair. */
  function longestAgainst(caller: string) {
    const [greediest, queue] = [...queues].reduce((a, b) => (has(b[0]) > has(a[0]) ? b : a))
    return greediest !== caller && has(greediest) > has(caller) + 1 ? [...queue].at(-1) : undefined
  }

  function admits(caller: string) {
    if (taken < capacity) return true
    const own = waits(caller)
    const withinHalf = own === 0 || (own + 1) * 2 <= queueLength
    if (waiting < queueLength) return own === waiting || withinHalf
    return waiting > 0 && withinHalf && longestAgainst(caller) !== undefined
  }

  return {
    admits,
    load: () => ({ inFlight: taken, queued: waiting }),
    ahead(caller) {
      if (taken < capacity) return 0
      const own = waits(caller)
      let ahead = 1
      for (const queue of queues.values()) ahead += Math.min(queue.size, own + 1) // callers take turns
      return ahead
    },
    enter(visitor) {
      if (!admits(visitor.caller)) return undefined
      let state: 'waiting' | 'inside' | 'gone' = 'waiting'
      const inside: Visitor = {
        caller: visitor.caller,
        go() {
          state = 'inside'
          visitor.go()
        },
        evict() {
          state = 'gone'
          visitor.evict?.()
        },
      }
      if (taken < capacity) {
        taken++
        count(visitor.caller, 1)
        inside.go()
      } else {
        const loser = waiting >= queueLength ? longestAgainst(visitor.caller) : undefined
        if (loser) dequeue(loser)
        queues.set(visitor.caller, (queues.get(visitor.caller) ?? new Set()).add(inside))
        waiting++
        loser?.evict?.()
      }
      return () => {
        if (state === 'inside') {
          count(visitor.caller, -1)
          admitNext()
        } else if (state === 'waiting') dequeue(inside)
        state = 'gone'
      }
    },
  }
}
