/** A text without its percent-encoding; `undefined` if an escape in it is broken. */
export function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
