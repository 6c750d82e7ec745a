import { Problem } from '../problem/problem.ts'

const maxUploads = 64

/** Bounds the uploads at a time, and gives no caller more than half of them. The returned function throws `overloaded`, or returns what frees the slot, once. */
export function createUploadSlots(): (caller: string) => () => void {
  const taken = new Map<string, number>()
  let all = 0
  return caller => {
    const own = taken.get(caller) ?? 0
    if (all >= maxUploads || own >= maxUploads / 2) throw new Problem('overloaded', { detail: 'Too many files arrive at this time.' })
    taken.set(caller, own + 1)
    all++
    let isTaken = true
    return () => {
      if (!isTaken) return
      isTaken = false
      all--
      const left = (taken.get(caller) ?? 1) - 1
      if (left > 0) taken.set(caller, left)
      else taken.delete(caller)
    }
  }
}
