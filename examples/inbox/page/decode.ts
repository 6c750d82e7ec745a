/** A part of an address in plain text; as it stands if it is none. */
export function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
