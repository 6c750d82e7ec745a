import { startInbox } from './inbox.ts'

// The inbox on its own, in front of a gateway that runs elsewhere: npx node examples/inbox/server/main.ts
const { GATEWAY_URL = 'http://127.0.0.1:3000', GATEWAY_KEY = '', PORT = '4012' } = process.env
if (!GATEWAY_KEY) giveUp('GATEWAY_KEY is not set; write an API key of the gateway')
if (!/^https?:/.test(GATEWAY_URL) || !URL.canParse(GATEWAY_URL)) giveUp('GATEWAY_URL is not a URL such as http://127.0.0.1:3000')
if (!/^\d{1,5}$/.test(PORT) || Number(PORT) > 65_535) giveUp('PORT is not a port (0 to 65535)')
const inbox = await startInbox({ key: GATEWAY_KEY, port: Number(PORT) }).catch(error => giveUp(error.message))
await inbox.connect(GATEWAY_URL)
process.stdout.write(`Inbox ${inbox.url} (the gateway needs CORS_ORIGINS=${inbox.url})\n`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => inbox.close())

function giveUp(issue: string): never {
  process.stderr.write(`The inbox cannot start: ${issue}\n`)
  process.exit(1)
}
