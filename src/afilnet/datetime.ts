import { Temporal } from 'temporal-polyfill'

// Temporal would read the second 60 as 59, and RFC 3339 has no year beyond 9999.
const form = /^[12]\d{3}-\d\d-\d\d \d\d:\d\d:[0-5]\d$/

/**
 * Reads Afilnet's `yyyy-mm-dd hh:mm:ss` as an instant, in RFC 3339.
 *
 * A time that a zone had twice or never, when its clocks changed, names no single instant and gets none.
 */
export function instantOf(datetime: string | null, timezone: string | undefined): string | undefined {
  if (timezone === undefined || datetime === null || !form.test(datetime)) return undefined
  try {
    const local = Temporal.PlainDateTime.from(datetime.replace(' ', 'T'), { overflow: 'reject' })
    return local.toZonedDateTime(timezone, { disambiguation: 'reject' }).toInstant().toString()
  } catch {
    return undefined
  }
}
