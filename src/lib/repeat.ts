/**
 * Runs a job now and then every `ms`, one run at a time; returns what stops it.
 *
 * A failure does not stop it: a background job has no caller that could act, and what it uses reports its own failures.
 */
export function repeat(ms: number, job: () => Promise<unknown>): () => void {
  let busy = false
  const run = async () => {
    if (busy) return
    busy = true
    await job().catch(() => {})
    busy = false
  }
  void run()
  const timer = setInterval(run, ms).unref()
  return () => clearInterval(timer)
}
