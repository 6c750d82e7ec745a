const quote = 0x22
const comma = 0x2c
const bracket = 0x5b
const backslash = 0x5c
const closingBracket = 0x5d
const brace = 0x7b
const closingBrace = 0x7d

/**
 * How deep JSON is nested, how many objects stand in its arrays or, where a list may be an object, at `rowDepth`, and how many objects and
 * arrays there are at all: without the memory that it takes to parse it.
 */
export function shapeOf(json: Uint8Array, rowDepth: number): { depth: number; items: number; structures: number } {
  let depth = 0
  let deepest = 0
  let items = 0
  let structures = 0
  let last = 0
  let inText = false
  for (let i = 0; i < json.length; i++) {
    const byte = json[i] as number // the loop stays inside the array
    if (inText) {
      if (byte === backslash) i++
      else if (byte === quote) inText = false
      continue
    }
    if (byte <= 0x20) continue
    if (byte === quote) inText = true
    else if (byte === brace || byte === bracket) {
      structures++
      if (++depth > deepest) deepest = depth
      if (byte === brace && (last === comma || last === bracket || depth === rowDepth)) items++
    } else if (byte === closingBrace || byte === closingBracket) depth--
    last = byte
  }
  return { depth: deepest, items, structures }
}
