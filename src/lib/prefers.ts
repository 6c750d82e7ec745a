/** Whether an `Accept` header prefers the first media type to the second: by its quality, then by a range that names it more exactly. */
export function prefers(accept: string | undefined, first: string, second: string): boolean {
  const ranges = (accept ?? '*/*').split(',').map(range => {
    const [name = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    const q = parameters.find(parameter => parameter.startsWith('q='))?.slice(2)
    return { name, q: q === undefined ? 1 : Number(q) || 0 }
  })
  const matchOf = (type: string) => {
    const fitting = [type, `${type.split('/', 1)[0]}/*`, '*/*'].map(form => ranges.find(({ name }) => name === form))
    const rank = fitting.findIndex(Boolean)
    return { rank, q: fitting[rank]?.q ?? 0 }
  }
  const [one, other] = [matchOf(first), matchOf(second)]
  return one.q === other.q ? one.q > 0 && one.rank < other.rank : one.q > other.q
}
