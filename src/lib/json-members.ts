/** A member of an object in JSON text: its name, and where its value begins and ends. */
export type JsonMember = { name: string; from: number; to: number }

/**
 * The members of the first object at or after `at` in valid JSON, in the order of the text, repeated names included.
 *
 * `JSON.parse` keeps neither: it sorts names that look like numbers and drops all but the last of a repeated one. No recursion, so that depth
 * does not matter.
 */
export function membersOf(json: string, at = 0): JsonMember[] {
  const members: JsonMember[] = []
  let depth = 0
  let name: string | undefined
  let from = 0
  for (let i = at; i < json.length; i++) {
    const letter = json[i]
    if (letter === '"') {
      const end = endOfString(json, i)
      if (depth === 1 && name === undefined) name = JSON.parse(json.slice(i, end + 1))
      i = end
    } else if (letter === '{' || letter === '[') depth++
    else if (letter === ':' && depth === 1) from = i + 1
    else if (depth === 1 && (letter === ',' || letter === '}')) {
      if (name !== undefined) members.push({ name, from, to: i })
      name = undefined
      if (letter === '}') break
    } else if (letter === '}' || letter === ']') depth--
  }
  return members
}

/** Where the string that begins at `from` ends: at the next quote that no backslash escapes. */
export function endOfString(json: string, from: number) {
  for (let end = json.indexOf('"', from + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end
  }
  return json.length
}
