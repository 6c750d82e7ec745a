/** Where a store is: a file of SQLite (or `:memory:`), or a Valkey or Redis server. */
type StorePlace = { kind: 'sqlite'; path: string } | ServerPlace

/** Servers speak the same protocol under either name; with `master` the hosts are Sentinels, which know where it is. */
export type ServerPlace = {
  kind: 'server'
  tls: boolean
  hosts: { host: string; port: number }[]
  master?: string
  db: number
  username?: string
  password?: string
  sentinelUsername?: string
  sentinelPassword?: string
}

/** What `STORE_URL` may be, for messages about a value that is not. */
export const expectedStoreUrl =
  'sqlite:<path>, sqlite::memory:, redis[s]:// or valkey[s]://[user:password@]host[:port][/db], or redis[s]+sentinel://…host,host/master[/db]'

const form =
  /^(?:redis|valkey)(?<tls>s?)(?<sentinel>\+sentinel)?:\/\/(?:(?<user>[^:@/?#]*)(?::(?<password>[^@/?#]*))?@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#]*))?(?:\?(?<query>[^#]*))?$/s
const address = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<name>[\w.-]+))(?::(?<port>\d{1,5}))?$/i

/** Takes the URL of a store apart; `undefined` if it names none. The URL API does not take several hosts. */
export function readStoreUrl(url: string): StorePlace | undefined {
  const path = /^sqlite:(?!\/\/)(.+)$/s.exec(url)?.[1]
  if (path !== undefined) return { kind: 'sqlite', path }
  const parts = form.exec(url)?.groups
  if (!parts) return undefined
  try {
    return placeOf(parts)
  } catch {
    return undefined // an escape that is none
  }
}

function placeOf(parts: Record<string, string | undefined>): ServerPlace | undefined {
  const sentinel = parts.sentinel !== undefined
  const hosts = (parts.hosts ?? '').split(',').map(text => addressOf(text, sentinel ? 26_379 : 6_379))
  const segments = (parts.path ?? '').split('/').map(decodeURIComponent)
  const master = sentinel ? segments.shift() : undefined
  const [db = '', ...more] = segments
  const query = new URLSearchParams(parts.query)
  const known = sentinel ? ['sentinel_username', 'sentinel_password'] : []
  const names = [...query.keys()]
  const areHosts = hosts.every(({ host, port }) => host !== '' && port > 0 && port < 65_536) && (sentinel || hosts.length === 1)
  const areNames = names.every((name, i) => known.includes(name) && names.indexOf(name) === i)
  if (!areHosts || !areNames || master === '' || more.length > 0 || !/^\d{0,4}$/.test(db)) return undefined
  return {
    kind: 'server',
    tls: parts.tls === 's',
    hosts,
    db: Number(db),
    ...(master !== undefined && { master }),
    ...given('username', parts.user && decodeURIComponent(parts.user)),
    ...given('password', parts.password && decodeURIComponent(parts.password)),
    ...given('sentinelUsername', query.get('sentinel_username')),
    ...given('sentinelPassword', query.get('sentinel_password')),
  }
}

function addressOf(text: string, usual: number) {
  const { v6, name, port } = address.exec(text)?.groups ?? {}
  return { host: v6 ?? name ?? '', port: port === undefined ? usual : Number(port) }
}

const given = <N extends string>(name: N, value: string | null | undefined) => (value ? ({ [name]: value } as Record<N, string>) : {})

/** A URL that names a store, as an operator may see it: neither user nor password. */
export const maskStoreUrl = (url: string) =>
  url.startsWith('sqlite:') ? url : url.replace(/\/\/[^@/]*@/, '//<set>@').replace(/\?.*$/s, '?<set>')
