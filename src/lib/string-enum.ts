import { Type } from '@sinclair/typebox'

/** A word of an answer. Clients must accept new ones, so the known words are only described. */
export const openWord = (words: readonly string[], description: string) =>
  Type.String({ description: `${description} Known values: ${words.map(word => `\`${word}\``).join(', ')}` })

/** One of a few words: an `enum`, which Swagger UI shows as a choice and a refusal can list. */
export const oneOf = <const Word extends string>(words: readonly Word[], options: { description?: string; examples?: Word[] } = {}) =>
  Type.Unsafe<Word>({ type: 'string', enum: words, ...options })
