/** The bytes of an answer: `undefined` for a range that no file of this size has. */
type Range = { start: number; end: number; isPart: boolean }

/** Reads a `Range`. Several ranges, other units and what is no range at all mean the whole file. */
export function rangeOf(header: string | undefined, bytes: number): Range | undefined {
  const whole = { start: 0, end: bytes - 1, isPart: false }
  const [, first = '', last = ''] = /^bytes=\s*(\d{0,16})-(\d{0,16})\s*$/i.exec(header ?? '') ?? []
  if (first === '' && last === '') return whole
  if (first === '') return Number(last) === 0 ? undefined : { start: Math.max(0, bytes - Number(last)), end: bytes - 1, isPart: true }
  if (last !== '' && Number(last) < Number(first)) return whole
  if (Number(first) >= bytes) return undefined
  return { start: Number(first), end: last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1), isPart: true }
}
