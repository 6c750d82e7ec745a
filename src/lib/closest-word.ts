/** The word that was probably meant, or `undefined` if none is close: one changed character for every five. */
export function closestWord(word: string, words: readonly string[]): string | undefined {
  const [closest] = words
    .map(candidate => ({ candidate, distance: distanceOf(word.toUpperCase(), candidate.toUpperCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.floor(candidate.length / 5))
    .sort((a, b) => a.distance - b.distance)
  return closest?.candidate
}

/** How many characters must be inserted, deleted or replaced (Levenshtein). */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++)
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === b[j] ? 0 : 1)))
    row = next
  }
  return row[b.length] ?? 0
}
