/** Afilnet's own text, `2026-01-31 09:30:00`, in a zone that it does not tell: shown as it is, never converted. */
export function shortTime(datetime: string | null | undefined): string {
  const [, day = '', time = ''] = /^(\S+) (\d\d:\d\d)/.exec(datetime ?? '') ?? []
  const today = new Date().toISOString().slice(0, 10)
  if (day === today) return time
  const isThisYear = day.slice(0, 4) === today.slice(0, 4)
  return `${isThisYear ? day.slice(5) : day} ${time}`.trim()
}
