/** Whether an `Accept` header prefers the first media type to the second. */
export function prefers(accept: string | undefined, first: string, second: string): boolean {
  const ranges = (accept ?? '*/*').split(',').map(range => {
    const [name = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    const q = parameters.find(parameter => parameter.startsWith('q='))?.slice(2)
    return { name, q: q === undefined ? 1 : Number(q) || 0 }
  })
  const qualityOf = (type: string) => {
    const named = [type, `${type.split('/', 1)[0]}/*`, '*/*'].map(name => ranges.find(range => range.name === name))
    return named.find(Boolean)?.q ?? 0
  }
  return qualityOf(first) > qualityOf(second)
}
