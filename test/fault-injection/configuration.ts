import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scopes } from '../../src/access.ts'
import { secret } from '../webhooks/receiver.ts'

/** Two callers on one account: neither sees nor cancels what the other one sends. */
export const keys = { shop: 'fake_torture_key_0123456789abcdef', clerk: 'fake_clerk_key_0123456789abcdefgh' }
export type CallerName = keyof typeof keys

/** The webhooks of the account, which then watches its channel for events. */
export type Webhooks = Record<string, { url: string; types?: string[]; chats?: string[] }>

/** Writes the configuration of a gateway that reaches Afilnet through this port; gives the name of the file. */
export function writeConfiguration(folder: string, proxyPort: number, webhooks: Webhooks | undefined): string {
  const password = join(folder, 'password')
  const signing = join(folder, 'webhook-secret')
  writeFileSync(password, 'fake-sandbox-password')
  writeFileSync(signing, secret)
  const main = {
    user: 'demo@sandbox.invalid',
    password: { file: password },
    url: `http://127.0.0.1:${proxyPort}/api/http/`,
    ...(webhooks && { events: { channels: ['telegram/200'], intervalMs: 1_000 } }),
  }
  const callers = Object.entries(keys).map(([name, key]) => [name, { keySha256: [hash('sha256', key)], account: 'main', scopes }])
  const hooks = Object.entries(webhooks ?? {}).map(([name, hook]) => [name, { ...hook, account: 'main', secret: { file: signing } }])
  const file = join(folder, `gateway-${proxyPort}.json`)
  const configuration = {
    accounts: { main },
    callers: Object.fromEntries(callers),
    ...(webhooks && { webhooks: Object.fromEntries(hooks) }),
  }
  writeFileSync(file, JSON.stringify(configuration))
  return file
}
