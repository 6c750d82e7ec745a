import { distance } from 'fastest-levenshtein'

/** The word that was probably meant, or `undefined` if none is close: one changed character for every five. */
export function closestWord(word: string, words: readonly string[]): string | undefined {
  const upper = word.toUpperCase()
  const maxChanges = (candidate: string) => Math.floor(candidate.length / 5)
  const [closest] = words
    .filter(candidate => Math.abs(candidate.length - upper.length) <= maxChanges(candidate)) // it has as many changes at least
    .map(candidate => ({ candidate, changes: distance(upper, candidate.toUpperCase()) }))
    .filter(({ candidate, changes }) => changes <= maxChanges(candidate))
    .sort((a, b) => a.changes - b.changes)
  return closest?.candidate
}
