import { describe, expect } from 'vitest'
import { buildBundle } from './bundle.ts'
import { test } from './gateway.ts'
import { startProgram } from './program.ts'

const entry = buildBundle()

describe('The bundle', () => {
  test('reads, sends once, names a failure of Afilnet, and serves the docs page', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '2000' }, entry)
    const chat = '/chats/whatsapp/100/34600000000/messages'
    const send = () => gateway.post(chat, { message: 'Hello from the bundle' }, { 'idempotency-key': 'bundle-1' })

    expect(await gateway.get('/channels')).toMatchObject({ status: 200, json: { items: expect.any(Array) } })
    expect([(await send()).status, (await send()).status]).toEqual([201, 201]) // the second is a replay
    expect(sandbox.sent).toHaveLength(1)
    const page = await fetch(`${gateway.url}/docs/`)
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('swagger-ui-bundle.js')])

    await sandbox.close()

    expect(await gateway.get('/channels')).toMatchObject({ status: 503, json: { code: 'upstream-unreachable' } })
  })
})
