import { isLoopback } from '../lib/addresses.ts'
import type { WebhookRow } from './file-schema.ts'
import { isNot, quoted } from './quote.ts'
import { hasDuplicate, passwordIssue } from './secrets.ts'
import type { Report, Values } from './variables.ts'

export type WebhookConfig = Pick<WebhookRow, 'account' | 'types'> & {
  url: URL
  /** Each signs every event: the receiver needs to know one of them. */
  secrets: readonly string[]
  chats?: readonly string[]
}

/** The webhook of the environment, if there is one. */
export function readSingleWebhook(values: Partial<Values>, report: Report): Record<string, WebhookConfig> {
  const { WEBHOOK_URL: url, WEBHOOK_SECRET: secret } = values
  if (url === undefined && secret === undefined) return {}
  if (url === undefined) report('WEBHOOK_URL', 'is not set, but WEBHOOK_SECRET is; set both or neither')
  if (secret === undefined) report('WEBHOOK_SECRET', 'is not set, but WEBHOOK_URL is; set both or neither')
  const pathOf = (property: string) => `WEBHOOK_${property.toUpperCase()}`
  return { default: webhookOf({ account: 'default', url, secrets: secret?.split(',') ?? [] }, pathOf, report) }
}

type Parts = Partial<Pick<WebhookRow, 'account' | 'types'>> & {
  url?: string | undefined
  secrets: readonly (string | undefined)[]
  chats?: readonly string[]
}

/** What must hold for a webhook, wherever it is configured; what is missing has been reported already. */
export function webhookOf({ url, secrets, ...rest }: Parts, pathOf: (property: 'url' | 'secret') => string, report: Report): WebhookConfig {
  const urlIssue = url === undefined ? undefined : webhookUrlIssue(url)
  if (urlIssue) report(pathOf('url'), urlIssue)
  const secretIssue = secrets.map(secret => secret && signingSecretIssue(secret)).find(Boolean)
  if (secretIssue) report(pathOf('secret'), secretIssue)
  else if (hasDuplicate(secrets)) report(pathOf('secret'), 'contains the same secret twice')
  return { ...rest, url: URL.parse(url ?? ''), secrets } as WebhookConfig // complete, or reported and never used
}

/** Only its harmless parts are quoted: a path or a query may be a secret. */
function webhookUrlIssue(value: string): string | undefined {
  const url = URL.parse(value)
  if (!url) return `${quoted(value)} is not an absolute URL such as https://crm.example.com/events`
  if (!/^https?:$/.test(url.protocol)) return isNot(url.protocol, 'the protocol https')
  if (value !== value.trim()) return 'has blanks at its start or end; remove them'
  if (url.username || url.password) return 'contains credentials; remove them: the signature tells the receiver who posts'
  if (value.includes('#')) return 'has a fragment; remove it'
  return url.protocol === 'http:' && !isLoopback(url) ? 'is plain http; write https (http is for a loopback host)' : undefined
}

/** What is wrong with a secret of Standard Webhooks, which must not be quoted. */
function signingSecretIssue(secret: string): string | undefined {
  const key = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1]
  const bytes = key === undefined ? 0 : Buffer.from(key, 'base64').length
  if (key === undefined || Buffer.from(key, 'base64').toString('base64').replace(/=+$/, '') !== key.replace(/=+$/, ''))
    return passwordIssue(secret) ?? 'the value is not whsec_ followed by base64; make one with: echo whsec_$(openssl rand -base64 32)'
  if (bytes < 24 || bytes > 64) return `has ${bytes} bytes after whsec_; use 24 to 64 random bytes`
  return /^(.)\1*$/.test(key.replace(/=+$/, '')) ? 'is the value of an example, not a real secret' : undefined
}
