/** Where a text stops being the JSON that every reader understands alike, and why. Lines and columns begin with 1. */
type JsonIssue = { line: number; column: number; issue: string }

const string = String.raw`"(?:[^"\\\p{Cc}]|[\x7f-\x9f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*`
const number = String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])`
const token = new RegExp(`${string}"|${number}|(?:true|false|null)(?!\\w)|[[\\]{},:]`, 'uy')
const unclosed = new RegExp(string, 'uy')

/** Looks for broken JSON and for a key that one object has twice: which of the two counts is for each reader to guess. */
export function findJsonIssue(text: string): JsonIssue | undefined {
  const open: (Set<unknown> | undefined)[] = [] // the keys of each open object; undefined for an array
  let expected: 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end' = 'value'
  for (let at = 0; ; ) {
    while (' \t\n\r'.includes(text[at] || 'x')) at++
    if (at === text.length) return expected === ', or end' && open.length === 0 ? undefined : issueAt(text, at, 'the text ends too early')
    token.lastIndex = at
    const found = token.exec(text)?.[0]
    if (found === undefined) return broken(text, at)
    const inside = open.at(-1)
    if (found === '}' || found === ']') {
      const fits =
        found === '}'
          ? inside && (expected === 'key or }' || expected === ', or end')
          : open.length > 0 && !inside && /\]|end/.test(expected)
      if (!fits) return issueAt(text, at, `unexpected ${found}`)
      open.pop()
      expected = ', or end'
    } else if (found === ',' || found === ':') {
      if (found === ':' ? expected !== ':' : expected !== ', or end' || open.length === 0) return issueAt(text, at, `unexpected ${found}`)
      expected = found === ',' && inside ? 'key' : 'value'
    } else if (expected === 'key' || expected === 'key or }') {
      if (found[0] !== '"') return issueAt(text, at, 'expected a key in double quotes')
      const key: unknown = JSON.parse(found)
      if (inside?.has(key)) return issueAt(text, at, 'a key occurs twice in one object')
      inside?.add(key)
      expected = ':'
    } else if (expected.startsWith('value')) {
      if (found === '{' || found === '[') open.push(found === '{' ? new Set() : undefined)
      expected = found === '{' ? 'key or }' : found === '[' ? 'value or ]' : ', or end'
    } else {
      const missing = expected === ':' ? 'a colon' : 'a comma'
      return issueAt(text, at, open.length === 0 ? 'there is more text after the value' : `expected ${missing}`)
    }
    at += found.length
  }
}

/** Says what is wrong with something that is no token; in a string, where. */
function broken(text: string, at: number): JsonIssue {
  if (text[at] !== '"') return issueAt(text, at, text[at] === "'" ? 'strings need double quotes' : 'unexpected text')
  unclosed.lastIndex = at
  const end = at + (unclosed.exec(text)?.[0].length ?? 0)
  if (end >= text.length) return issueAt(text, at, 'a string is not closed')
  if (text[end] === '\\') return issueAt(text, end, 'unknown escape in a string')
  const isLineBreak = text[end] === '\n' || text[end] === '\r'
  return issueAt(text, end, `a string contains a raw ${isLineBreak ? 'line break; write \\n' : 'control character; escape it'}`)
}

function issueAt(text: string, at: number, issue: string): JsonIssue {
  const before = text.slice(0, at).split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1, issue }
}
