import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

const chat = '/chats/whatsapp/100/34600000000'

describe('POST /chats/{platform}/{platformId}/{destination}/messages', () => {
  test('hands the text to Afilnet once', async ({ gateway, sandbox }) => {
    const reply = await gateway.post(`${chat}/messages`, { message: 'Hello', reference: 'order-4711' })

    expect(reply.status).toBe(201)
    expect(reply.json).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      kind: 'message',
      platform: 'whatsapp',
      platformId: '100',
      destination: '34600000000',
      state: 'accepted',
      reference: 'order-4711',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      settledAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      settledBy: 'answer',
    })
    expect(sandbox.sent).toMatchObject([{ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Hello' }])
  })

  test.for([
    ['a number for a reference', { message: 'Hello', reference: 5 }, '/reference'],
    ['null for a reference', { message: 'Hello', reference: null }, '/reference'],
    ['a member of another operation', { message: 'Hello', fileUrl: 'https://example.com/' }, '/fileUrl'],
    ['a parameter of Afilnet', { message: 'Hello', password: 'x' }, '/password'],
  ] as const)('refuses %s', async ([, body, pointer], { gateway, sandbox }) => {
    const reply = await gateway.post(`${chat}/messages`, body)

    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid-request', errors: [{ pointer, detail: expect.any(String) }] } })
    expect(sandbox.calls).toEqual([])
  })

  test('takes a reference of 128 characters', async ({ gateway }) => {
    const reply = await gateway.post(`${chat}/messages`, { message: 'Hello', reference: '👩'.repeat(128) })

    expect(reply).toMatchObject({ status: 201, json: { reference: '👩'.repeat(128) } })
  })
})

describe.for([
  ['messages', { message: 'Hello' }],
  ['files', { type: 'image', fileUrl: 'https://example.com/menu.jpg' }],
] as const)('The Idempotency-Key of %s', ([resource, body]) => {
  test.for(['a', 'order-4711', '!"#$~', 'x'.repeat(255)])('may be %s', async (key, { gateway }) => {
    const reply = await gateway.post(`${chat}/${resource}`, body, { 'idempotency-key': key })

    expect(reply).toMatchObject({ status: 201, json: { idempotencyKey: key } })
  })

  test.for([
    ['empty', ''],
    ['256 characters', 'x'.repeat(256)],
    ['two words', 'a b'],
    ['with a tab', 'a\tb'],
    ['not ASCII', 'ñ'],
    ['there twice', ['a', 'b']],
    ['there twice, once empty', ['a', '']],
    ['there twice, both empty', ['', '']],
  ] as const)('must not be %s', async ([, key], { gateway, sandbox }) => {
    const reply = await gateway.request(`${chat}/${resource}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': typeof key === 'string' ? key : [...key] },
      body: JSON.stringify(body),
    })

    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid-request', outcome: 'not_applied', retry: 'no' } })
    expect(sandbox.calls).toEqual([])
  })
})

describe('GET /chats/{platform}/{platformId}/{destination}/messages', () => {
  test('shows what was sent', async ({ gateway }) => {
    await gateway.post(`${chat}/messages`, { message: 'Is it there?' })

    const reply = await gateway.get(`${chat}/messages`)

    expect(reply.status).toBe(200)
    expect(reply.json.items.at(-1)).toMatchObject({ platformId: '100', destination: '34600000000', message: 'Is it there?', sent: true })
  })

  test('keeps what Afilnet sends beyond its manual, and says null where something is missing', async ({ gateway, sandbox }) => {
    sandbox.shape({ extra: { mood: { happy: true } }, omit: ['status'], nulls: ['datetime'] })

    const reply = await gateway.get(`${chat}/messages`)

    expect(reply.json.items[0]).toMatchObject({ extra: { mood: { happy: true } }, status: null, datetime: null })
  })

  test.for([
    ['Europe/Madrid', '2026-01-31T08:30:00Z'],
    ['America/Bogota', '2026-01-31T14:30:00Z'],
  ])('tells the instant in %s', async ([zone, timestamp], { start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_TIMEZONE: zone } })
    sandbox.answer({ body: '{"status":"SUCCESS","result":{"list":[{"datetime":"2026-01-31 09:30:00"},{"datetime":"soon"}]}}' })

    const reply = await gateway.get(`${chat}/messages`)

    expect(reply.json.items[0]).toMatchObject({ datetime: '2026-01-31 09:30:00', timestamp })
    expect(reply.json.items[1]).not.toHaveProperty('timestamp')
  })
})

describe('GET /chats/{platform}/{platformId}/{destination}/unread', () => {
  test('shows unread messages', async ({ gateway }) => {
    const reply = await gateway.get(`${chat}/unread`)

    expect(reply.status).toBe(200)
    expect(reply.json.items).toMatchObject([{ message: '¿Hasta qué hora abren hoy?', sent: false }, { message: 'I can come at seven' }])
  })

  test('is never kept and never revalidated', async ({ gateway, sandbox }) => {
    const reply = await gateway.get(`${chat}/unread`, { 'if-none-match': '*' })

    expect(reply.status).toBe(200)
    expect(reply.headers['cache-control']).toBe('no-store')
    expect(reply.headers).not.toHaveProperty('etag')
    expect(sandbox.calls).toHaveLength(1)
  })
})
