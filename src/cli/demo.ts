import { readConfig } from '../config/config.ts'
import { startGateway } from '../gateway.ts'
import { makeKey } from '../lib/api-key.ts'
import { startSandbox } from '../sandbox/app.ts'
import { createLogger } from '../telemetry/log.ts'
import { configOrExit } from './config-or-exit.ts'

// Gateway and sandbox in one process, with a key of this run only; ports and host come from the environment as usual.
const { HOST, PORT, ADMIN_HOST, ADMIN_PORT, SANDBOX_PORT, SANDBOX_CONTROL_PORT } = process.env
const sandbox = await startSandbox({
  port: Number(SANDBOX_PORT || 4010),
  controlPort: Number(SANDBOX_CONTROL_PORT || 4011),
  replyAfterMs: 3000,
}).catch(giveUp)
const { key, sha256 } = makeKey()
const config = configOrExit(() =>
  readConfig({
    HOST,
    PORT,
    ADMIN_HOST,
    ADMIN_PORT,
    AFILNET_USER: sandbox.user,
    AFILNET_PASSWORD: sandbox.password,
    AFILNET_URL: `${sandbox.url}/api/http/`,
    GATEWAY_KEY_SHA256: sha256,
    STORE_URL: 'sqlite::memory:',
    LOG_LEVEL: 'warn',
  }),
)
const gateway = await startGateway(config, createLogger(config.logLevel)).catch(giveUp)

const chat = `${gateway.url}/chats/whatsapp/100/34600000000`
const curl = (url: string, body?: object) => {
  const send = body ? ` -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'` : ''
  return `curl -sS -H 'Authorization: Bearer ${key}'${send} '${url}'`
}
process.stdout.write(`
Gateway   ${gateway.url}
Docs      ${gateway.url}/docs
Key       ${key}
Sandbox   ${sandbox.url} (stands in for Afilnet; what it received: ${sandbox.controlUrl}/calls)

The six operations, ready to paste:

${curl(`${gateway.url}/channels`)}
${curl(`${gateway.url}/chats/whatsapp/100`)}
${curl(`${chat}/messages`)}
${curl(`${chat}/unread`)}
${curl(`${chat}/messages`, { message: 'Hello from the demo' })}
${curl(`${chat}/files`, { type: 'image', fileUrl: 'https://example.com/menu.jpg', message: 'Our menu' })}

Ctrl-C ends both.
`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    setTimeout(() => process.exit(0), 700).unref() // a call that the sandbox never answers must not hold up Ctrl-C
    Promise.all([gateway.drain(), sandbox.close()]).then(() => process.exit(0))
  })
}

function giveUp({ code, message }: NodeJS.ErrnoException): never {
  const hint = code === 'EADDRINUSE' ? ' (PORT, SANDBOX_PORT and SANDBOX_CONTROL_PORT choose others; 0 is any free one)' : ''
  process.stderr.write(`The demo cannot start: ${message.replace(/^listen /, '')}${hint}\n`)
  process.exit(1)
}
