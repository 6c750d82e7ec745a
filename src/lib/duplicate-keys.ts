/** Whether an object in valid JSON names a member twice: which of the two counts is for each reader to guess. */
export function repeatsMember(json: string): boolean {
  const open: Set<unknown>[] = []
  for (const [token, name] of json.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (name !== undefined) {
      const members = open.at(-1)
      const member: unknown = JSON.parse(name)
      if (members?.has(member)) return true
      members?.add(member)
    }
  }
  return false
}
