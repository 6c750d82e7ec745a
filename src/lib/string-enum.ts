import { Type } from '@sinclair/typebox'

/** One of a few words: an `enum`, which Swagger UI shows as a choice and a refusal can list. */
export const oneOf = <const Word extends string>(words: readonly Word[], options: { description?: string; examples?: Word[] } = {}) =>
  Type.Unsafe<Word>({ type: 'string', enum: words, ...options })
