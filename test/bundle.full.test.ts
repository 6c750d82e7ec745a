import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// @ts-expect-error: the package has no types
import S3rver from 's3rver'
import { describe, expect, onTestFinished } from 'vitest'
import { listen } from './afilnet/listeners.ts'
import { buildBundle } from './bundle.ts'
import { canaries, test, transportEnvironment } from './gateway.ts'
import { openStream } from './live/streaming.ts'
import { postForm, samples } from './media/forms.ts'
import { startProgram } from './program.ts'
import { noServer, startServer } from './store/valkey/server.ts'
import { secret, startReceiver } from './webhooks/receiver.ts'

const entry = buildBundle()
const conversation = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
const chat = '/chats/whatsapp/100/34600000000'

describe('The bundle', () => {
  test('reads, sends once, names a failure of Afilnet, and serves the docs page', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '2000' }, entry)
    const send = () => gateway.post(`${chat}/messages`, { message: 'Hello from the bundle' }, { 'idempotency-key': 'bundle-1' })

    expect(await gateway.get('/channels')).toMatchObject({ status: 200, json: { items: expect.any(Array) } })
    expect([(await send()).status, (await send()).status]).toEqual([201, 201]) // the second is a replay
    expect(sandbox.sent).toHaveLength(1)
    const page = await fetch(`${gateway.url}/docs/`)
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('swagger-ui-bundle.js')])

    await sandbox.close()

    expect(await gateway.get('/channels')).toMatchObject({ status: 503, json: { code: 'upstream-unreachable' } })
  })

  test.for(['json', 'soap'] as const)('reads with the transport %s', async (transport, { sandbox }) => {
    const gateway = await startProgram(sandbox, transportEnvironment(sandbox, transport), entry)

    expect(await gateway.get('/channels')).toMatchObject({ status: 200, json: { items: expect.any(Array) } })
  })

  test('signs tokens, takes forms, answers agents, streams and posts events, and exports spans', async ({ sandbox }) => {
    const receiver = await startReceiver()
    onTestFinished(receiver.close)
    let spans = ''
    const collector = createHttp(async (request, response) => {
      for await (const chunk of request) spans += chunk
      response.end('{}')
    })
    const env = {
      QUEUE_KEY: Buffer.alloc(32, 7).toString('base64'),
      MCP: 'true',
      EVENTS_CHANNELS: 'whatsapp/100',
      EVENTS_INTERVAL_MS: '1000',
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: secret,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await listen(collector)}`,
      OTEL_BSP_SCHEDULE_DELAY: '10',
    }
    const gateway = await startProgram(sandbox, env, entry)
    const stream = openStream(gateway)

    expect(await gateway.post('/tokens', { chat: conversation, scopes: ['messages:read'] })).toMatchObject({ status: 201 })
    expect(await postForm(gateway, `${chat}/files`, [['file', samples.png]])).toMatchObject({ status: 201 })
    const queued = await gateway.post(`${chat}/messages`, { message: 'Later' }, { prefer: 'respond-async' })
    expect(queued.status).toBe(202)
    await expect.poll(() => sandbox.sent.map(({ message }) => message)).toContain('Later')
    const tools = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${canaries.key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}',
    })
    expect([tools.status, await tools.text()]).toEqual([200, expect.stringContaining('send_message')])
    await expect.poll(() => receiver.taken.length).toBeGreaterThan(0)
    await expect.poll(() => stream.text).toContain('message.created')
    await expect.poll(() => spans).toContain('sendmessage')
  })

  test.skipIf(noServer)('keeps its ledger in Valkey, and files in S3 (needs redis-server)', async ({ sandbox }) => {
    const server = await startServer()
    onTestFinished(server.end)
    const directory = mkdtempSync(join(tmpdir(), 's3rver-'))
    const s3 = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory, configureBuckets: [{ name: 'media' }] })
    const { port }: AddressInfo = await s3.run()
    onTestFinished(async () => {
      await s3.close()
      rmSync(directory, { recursive: true })
    })
    const env = {
      STORE_URL: server.fresh(),
      MEDIA_STORE: `s3://media/uploads?endpoint=${encodeURIComponent(`http://127.0.0.1:${port}`)}&region=eu-south-2`,
      AWS_ACCESS_KEY_ID: 'S3RVER', // s3rver knows no others
      AWS_SECRET_ACCESS_KEY: 'S3RVER',
    }
    const gateway = await startProgram(sandbox, env, entry)

    expect(await postForm(gateway, `${chat}/files`, [['file', samples.png]])).toMatchObject({ status: 201 })
    expect(await gateway.get('/sends')).toMatchObject({ status: 200, json: { items: [{ kind: 'file' }] } })
  })
})
