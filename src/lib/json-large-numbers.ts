import { endOfString } from './json-members.ts'

/** Whether a double may have lost digits of a number, or all of it. */
export const isLarge = (value: number) => !Number.isSafeInteger(value) && (Number.isInteger(value) || !Number.isFinite(value))

/**
 * Valid JSON with a string in place of each number that a double cannot hold: an integer of many digits, or one beyond its range.
 *
 * A reviver of `JSON.parse` could do it too, but takes hundreds of bytes for every value of the text.
 */
export function quoteLargeNumbers(json: string): string {
  const token = /-?\d[\d.eE+-]*/y
  const parts: string[] = []
  let copied = 0
  for (let i = 0; i < json.length; i++) {
    const letter = json[i] as string // the loop stays inside the text
    if (letter === '"') i = endOfString(json, i)
    if (letter !== '-' && (letter < '0' || letter > '9')) continue
    token.lastIndex = i
    const source = token.exec(json)?.[0] ?? letter
    const value = Number(source)
    if (isLarge(value) && (/^-?\d+$/.test(source) || !Number.isFinite(value))) {
      parts.push(json.slice(copied, i), '"', source, '"')
      copied = i + source.length
    }
    i += source.length - 1
  }
  return parts.join('') + json.slice(copied)
}
