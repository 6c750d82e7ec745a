const everyMs = 50
const stallMs = 300

/** Records when this process, and with it the sandbox, had no time for anything: what it measures then is late. */
export function watchStalls() {
  const spans: { at: number; until: number }[] = []
  let last = Date.now()
  const timer = setInterval(() => {
    const now = Date.now()
    if (now - last > stallMs) spans.push({ at: last, until: now })
    last = now
  }, everyMs)
  return { spans, stop: () => clearInterval(timer) }
}
