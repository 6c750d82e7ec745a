import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import { isBlock } from '../lib/addresses.ts'
import { type MediaPlace, readMediaPlace } from '../media/place.ts'
import { readStoreUrl } from '../store/url.ts'
import { isNot, quoted } from './quote.ts'
import { hasDuplicate } from './secrets.ts'
import { readProxyUrl, readUrl } from './url.ts'
import { type Report, type Values, Variables } from './variables.ts'

/** The settings that mean more than the form of their variable says. */
export function readSettings(values: Partial<Values>, report: Report) {
  const timeoutMs = values.AFILNET_TIMEOUT_MS ?? 10_000
  const drainMs = values.DRAIN_MS ?? Math.max(15_000, (values.DRAIN_DELAY_MS ?? 0) + timeoutMs + 5_000)
  if (drainMs < timeoutMs + 1_000) report('DRAIN_MS', `${drainMs} is less than AFILNET_TIMEOUT_MS + 1000 (${timeoutMs + 1_000})`)

  checkStoreUrl(values, report)
  const urlIn = (name: 'PUBLIC_URL' | 'MEDIA_URL') => {
    const value = values[name]
    return value === undefined ? undefined : readUrl(value, issue => report(name, issue))
  }
  const publicUrl = urlIn('PUBLIC_URL')
  const mediaUrl = urlIn('MEDIA_URL') ?? publicUrl
  const place = readMediaStore(values, report)

  if (hasDuplicate(values.QUEUE_KEY?.split(',').map(key => Buffer.from(key, 'base64').toString('base64')) ?? []))
    report('QUEUE_KEY', 'contains the same key twice')

  const trustProxy = splitList(values.TRUST_PROXY)
  const block = trustProxy.find(item => !isBlock(item))
  if (block !== undefined)
    report('TRUST_PROXY', /\/0$/.test(block) ? `${quoted(block)} would trust every address` : isNot(block, 'an address or a CIDR block'))
  const corsOrigins = splitList(values.CORS_ORIGINS)
  const origin = corsOrigins.find(item => item.includes('*') || readUrl(item, () => {})?.origin !== item)
  if (origin !== undefined) report('CORS_ORIGINS', isNot(origin, 'an exact origin such as https://app.example.com'))

  const proxy = values.AFILNET_PROXY === 'direct' ? undefined : values.AFILNET_PROXY
  const proxyUrl = proxy === undefined ? undefined : readProxyUrl(proxy)
  if (proxy !== undefined && !proxyUrl) report('AFILNET_PROXY', `the value is not ${Variables.properties.AFILNET_PROXY.expected}`)

  const host = readHost('HOST', values.HOST, report)
  const adminHost = readHost('ADMIN_HOST', values.ADMIN_HOST, report)
  const { PORT: port, ADMIN_PORT: adminPort } = values
  const isEverywhere = (address: string) => address === '0.0.0.0' || address === '::'
  const isShared = host === adminHost || isEverywhere(host) || isEverywhere(adminHost)
  if (port && port === adminPort && isShared) report('ADMIN_PORT', `${port} is the port of PORT too; use another one`)

  const media = {
    place: place ?? { kind: 'folder' as const, path: '' }, // reported, and never used
    maxBytes: values.MEDIA_MAX_BYTES ?? 0,
    maxTotalBytes: (values.MEDIA_MAX_MB ?? 0) * 1_048_576,
    keepMs: (values.MEDIA_KEEP_HOURS ?? 0) * 3_600_000,
    ...(mediaUrl && { url: mediaUrl }),
  }
  const urls = { ...(publicUrl && { publicUrl }), ...(proxyUrl && { proxyUrl }) }
  return { media, host, adminHost, timeoutMs, drainMs, trustProxy, corsOrigins, ...urls }
}

/** The media store; `undefined` if the value names none, which is then reported. */
export function readMediaStore(values: Partial<Values>, report: Report): MediaPlace | undefined {
  const { default: usual, expected } = Variables.properties.MEDIA_STORE
  const place = readMediaPlace(values.MEDIA_STORE ?? usual)
  if (!place) report('MEDIA_STORE', `the value is not ${expected}`)
  else if (place.kind === 'folder' && place.path !== place.path.trim()) report('MEDIA_STORE', blanks)
  return place
}

// With them, it is the name of another file: an empty ledger would know no idempotency key.
const blanks = 'has blanks at the start or end of its path; remove them'

/** Reports what is wrong with the URL of a store, which must not be quoted: it may hold a password. */
export function checkStoreUrl({ STORE_URL: url }: Partial<Values>, report: Report) {
  const location = url === undefined ? undefined : readStoreUrl(url)
  if (url !== undefined && !location) report('STORE_URL', `the value is not ${Variables.properties.STORE_URL.expected}`)
  if (location?.kind !== 'sqlite' || location.path === ':memory:') return
  if (location.path !== location.path.trim()) return report('STORE_URL', blanks)
  const isDirectory = location.path.endsWith('/') || statSync(location.path, { throwIfNoEntry: false })?.isDirectory()
  if (isDirectory) report('STORE_URL', 'names a directory; add the name of a file, as in sqlite:./data/gateway.sqlite')
}

/** An address or name to listen on, without the brackets of a URL. */
function readHost(name: 'HOST' | 'ADMIN_HOST', value: string | undefined, report: Report): string {
  if (value === undefined) return Variables.properties[name].default
  const host = value.replace(/^\[(.*)\]$/, '$1')
  if (!isHost(host) || (host !== value && isIP(host) !== 6)) {
    const hasPort = /^[^:]+:\d+$|\]:\d+$/.test(value)
    const advice = hasPort ? `; write the port into ${name.replace('HOST', 'PORT')}` : value === '*' ? '; write 0.0.0.0 or ::' : ''
    report(name, `${isNot(value, 'an IP address or a host name')}${advice}`)
  }
  return host
}

const label = '[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?'

/** Whether a text can be a host. A name whose last part is a number, such as 999.1.1.1, is an invalid address. */
const isHost = (host: string) =>
  isIP(host) !== 0 || (host.length <= 253 && new RegExp(`^(${label}\\.)*${label}\\.?$`, 'i').test(host) && !/(^|\.)\d+\.?$/.test(host))

const splitList = (value: string | undefined) => value?.split(',').map(item => item.trim()) ?? []
