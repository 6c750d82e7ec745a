const steadyMs = 3_000

/**
 * Reports a loss at once and a recovery only after it has lasted three seconds, so that a state that flaps is reported once.
 *
 * `ok` is what was reported last, so that health, metrics and log agree.
 */
export function createSteadyState<D>(report: (ok: boolean, detail: D) => void) {
  let ok = true
  let reported = true
  let timer: NodeJS.Timeout | undefined

  return {
    get ok() {
      return reported
    },
    set(next: boolean, detail: D) {
      if (next === ok) return
      ok = next
      clearTimeout(timer)
      if (next === reported) return
      const apply = () => {
        reported = next
        report(next, detail)
      }
      if (next) timer = setTimeout(apply, steadyMs).unref()
      else apply()
    },
  }
}
