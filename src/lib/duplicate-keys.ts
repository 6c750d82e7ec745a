/** Whether an object in valid JSON contains a duplicate key: readers disagree which of the two values counts. */
export function hasDuplicateKeys(json: string): boolean {
  const open: Set<unknown>[] = []
  for (const [token, name] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (name !== undefined) {
      const keys = open.at(-1)
      const key: unknown = JSON.parse(name)
      if (keys?.has(key)) return true
      keys?.add(key)
    }
  }
  return false
}
