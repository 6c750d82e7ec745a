import { Temporal } from 'temporal-polyfill'

// Temporal would read the second 60 as 59, and RFC 3339 has no year beyond 9999.
const form = /^[12]\d{3}-\d\d-\d\d \d\d:[0-5]\d:[0-5]\d$/

/** When hours of a zone begin, in milliseconds; `null` for an hour in which its clocks change. A look-up of the zone costs 20 µs. */
const hours = new Map<string, number | null>()
const maxHours = 4_096

/**
 * Reads Afilnet's `yyyy-mm-dd hh:mm:ss` as an instant, in RFC 3339.
 *
 * A time that a zone had twice or never, when its clocks changed, names no single instant and gets none.
 */
export function instantOf(datetime: string | null, timezone: string | undefined): string | undefined {
  if (timezone === undefined || datetime === null || !form.test(datetime)) return undefined
  const startsAt = startOf(datetime.slice(0, 13), timezone)
  const instant = startsAt === null ? lookUp(datetime, timezone) : startsAt + millisecondsIn(datetime)
  return instant === undefined ? undefined : new Date(instant).toISOString().replace('.000Z', 'Z')
}

const millisecondsIn = (datetime: string) => (Number(datetime.slice(14, 16)) * 60 + Number(datetime.slice(17))) * 1_000

/** When an hour begins, if all of its 3,600 seconds follow each other. */
function startOf(hour: string, timezone: string): number | null {
  const key = `${timezone} ${hour}`
  const known = hours.get(key)
  if (known !== undefined) return known
  const [first, last] = [lookUp(`${hour}:00:00`, timezone), lookUp(`${hour}:59:59`, timezone)]
  const start = first !== undefined && last !== undefined && last - first === 3_599_000 ? first : null
  if (hours.size >= maxHours) hours.clear()
  hours.set(key, start)
  return start
}

function lookUp(datetime: string, timezone: string): number | undefined {
  try {
    const local = Temporal.PlainDateTime.from(datetime.replace(' ', 'T'))
    return local.toZonedDateTime(timezone, { disambiguation: 'reject' }).epochMilliseconds
  } catch {
    return undefined
  }
}
