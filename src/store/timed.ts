import type { Store } from './store.ts'

/** Gets how long a verb took, whether it succeeded or not, under the label that dashboards know it by. */
type VerbTimer = (label: string, ms: number) => void

/** The same store, with the duration of each verb reported. Every caller with a limit asks `count`, which is therefore not timed. */
export function timed(store: Store, report: VerbTimer): Store {
  function time<A extends unknown[], R>(label: string, verb: (...args: A) => Promise<R>) {
    return (...args: A): Promise<R> => {
      const startedAt = performance.now()
      const result = verb(...args)
      const end = () => report(label, performance.now() - startedAt)
      result.then(end, end) // `finally` would make three promises of one
      return result
    }
  }
  return {
    ...store,
    claim: time('claim', store.claim),
    settle: time('settle', store.settle),
    find: time('find', store.find),
    list: time('list', store.list),
    heartbeat: time('beat', store.heartbeat),
    release: time('release', store.release),
    expireLeases: time('reap', store.expireLeases),
    deleteExpired: time('sweep', store.deleteExpired),
    secret: time('secret', store.secret),
  }
}
