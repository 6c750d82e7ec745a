import { Problem } from '../problem/problem.ts'

/** The caller of a request to a route that needs a key. Throws `unauthenticated`. */
export function requireCaller<C>({ caller }: { caller: C | undefined }): C {
  if (!caller) throw new Problem('unauthenticated')
  return caller
}
