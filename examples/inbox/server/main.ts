import { startInbox } from './inbox.ts'

// The inbox on its own, in front of a gateway that runs elsewhere: npx node examples/inbox/server/main.ts
const { GATEWAY_URL = 'http://127.0.0.1:3000', GATEWAY_KEY = '', PORT = '4012' } = process.env
const inbox = await startInbox({ key: GATEWAY_KEY, port: Number(PORT) })
await inbox.connect(GATEWAY_URL)
process.stdout.write(`Inbox ${inbox.url} (the gateway needs CORS_ORIGINS=${inbox.url})\n`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => inbox.close())
