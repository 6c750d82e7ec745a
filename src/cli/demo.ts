import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startInbox } from '../../examples/inbox/server/inbox.ts'
import { readConfig } from '../config/config.ts'
import { startGateway } from '../gateway.ts'
import { makeKey } from '../lib/api-key.ts'
import { startSandbox } from '../sandbox/app.ts'
import { talkative } from '../sandbox/customers.ts'
import { createLogger } from '../telemetry/log.ts'
import { configOrExit } from './config-or-exit.ts'

// Gateway, sandbox and inbox in one process, with a key of this run only; ports and host come from the environment as usual.
const { HOST, PORT, ADMIN_HOST, ADMIN_PORT, MCP, WEBHOOK_URL, WEBHOOK_SECRET } = process.env
const { AFILNET_TRANSPORT = 'post', AFILNET_GRANT, AFILNET_JSON_STYLE, AFILNET_SCOPE } = process.env
if (process.argv.length > 2) {
  process.stderr.write('The demo takes no arguments; variables such as PORT set it up\n')
  process.exit(78)
}
const sandbox = await startSandbox({
  port: portIn('SANDBOX_PORT', 4010),
  controlPort: portIn('SANDBOX_CONTROL_PORT', 4011),
  customers: talkative,
}).catch(giveUp)
const files = mkdtempSync(join(tmpdir(), 'afilnet-demo-'))
process.on('exit', () => rmSync(files, { recursive: true, force: true }))
const { key, sha256 } = makeKey()
const inbox = await startInbox({ key, port: portIn('INBOX_PORT', 4012) }).catch(giveUp)
const path = AFILNET_TRANSPORT === 'basic' || AFILNET_TRANSPORT === 'json' ? AFILNET_TRANSPORT : 'http'
const oauth = {
  AFILNET_TOKEN_URL: `${sandbox.url}/oauth/token`,
  AFILNET_CLIENT_ID: sandbox.clientId,
  AFILNET_CLIENT_SECRET: sandbox.clientSecret,
  AFILNET_GRANT,
  AFILNET_JSON_STYLE,
  AFILNET_SCOPE,
}
const config = configOrExit(() =>
  readConfig({
    HOST,
    PORT,
    ADMIN_HOST,
    ADMIN_PORT,
    AFILNET_USER: sandbox.user,
    AFILNET_PASSWORD: sandbox.password,
    AFILNET_TRANSPORT,
    ...(AFILNET_TRANSPORT === 'soap' ? { AFILNET_WSDL: `${sandbox.url}/api/soap/?wsdl` } : { AFILNET_URL: `${sandbox.url}/api/${path}/` }),
    ...(AFILNET_TRANSPORT === 'json' && oauth),
    GATEWAY_KEY_SHA256: sha256,
    STORE_URL: 'sqlite::memory:',
    CORS_ORIGINS: inbox.url,
    MCP,
    MEDIA_STORE: `file:${files}`,
    EVENTS_CHANNELS: '*',
    EVENTS_INTERVAL_MS: '1000',
    QUEUE_KEY: randomBytes(32).toString('base64'),
    WEBHOOK_URL,
    WEBHOOK_SECRET,
    LOG_LEVEL: 'warn',
  }),
)
const gateway = await startGateway(config, createLogger(config.logLevel)).catch(giveUp)
await inbox.connect(gateway.url)

const chat = `${gateway.url}/chats/whatsapp/100/34600000000`
const headersOf = (headers: object) =>
  Object.entries({ Authorization: `Bearer ${key}`, ...headers })
    .map(([name, value]) => ` -H '${name}: ${value}'`)
    .join('')
const get = (url: string) => `curl -sS${headersOf({})} '${url}'`
const post = (url: string, idempotencyKey: string, body: object, options = '') => {
  const headers = headersOf({ 'Content-Type': 'application/json', 'Idempotency-Key': idempotencyKey })
  return `curl -sS${options}${headers} -d '${JSON.stringify(body)}' '${url}'`
}
const message = { message: 'Hello from the demo' }
const picture = { type: 'image', fileUrl: 'https://example.com/menu.jpg', message: 'Our menu' }
process.stdout.write(`Inbox     ${inbox.url}  ← open this: read what customers write, and answer them
Gateway   ${gateway.url}
Docs      ${gateway.url}/docs
Key       ${key}
Sandbox   ${sandbox.url} (stands in for Afilnet; what it received: ${sandbox.controlUrl}/calls)

The six operations, ready to paste:

${get(`${gateway.url}/channels`)}
${get(`${gateway.url}/chats/whatsapp/100`)}
${get(`${chat}/messages`)}
${get(`${chat}/unread`)}
${post(`${chat}/messages`, 'demo-message', message)}
${post(`${chat}/files`, 'demo-file', picture)}

The same message again: the answer says Idempotency-Replayed: true, and the sandbox receives nothing.

  ${post(`${chat}/messages`, 'demo-message', message, ' -i')}

Ctrl-C ends all of them.
`)

// A terminal that closes sends SIGHUP.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    setTimeout(() => process.exit(0), 700).unref() // a call that the sandbox never answers must not hold up Ctrl-C
    Promise.all([gateway.drain(), sandbox.close(), inbox.close()]).then(() => process.exit(0))
  })
}

function portIn(name: string, usual: number) {
  const text = process.env[name] || String(usual)
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text)
  process.stderr.write(`${name}: expected a port from 0 to 65535\n`)
  process.exit(78)
}

function giveUp({ code, message }: NodeJS.ErrnoException): never {
  const hint = code === 'EADDRINUSE' ? ' (PORT, INBOX_PORT, SANDBOX_PORT and SANDBOX_CONTROL_PORT choose others; 0 is any free one)' : ''
  process.stderr.write(`The demo cannot start: ${message.replace(/^listen /, '')}${hint}\n`)
  process.exit(1)
}
