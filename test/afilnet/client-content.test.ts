import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'
import { calls, chat } from './calls.ts'

const body = JSON.stringify({ status: 'SUCCESS', result: { list: [{ messageid: '1', message: 'ñ' }] } })

describe('An answer in a coding that the gateway did not ask for', () => {
  test.for([
    ['gzip', gzipSync(body)],
    ['x-gzip', gzipSync(body)],
    ['GZIP', gzipSync(body)],
    ['deflate', deflateSync(body)],
    ['deflate', deflateRawSync(body)],
    ['identity', Buffer.from(body)],
  ] as const)('is read: %s', async ([coding, bytes], { gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', headers: { 'content-encoding': coding }, body: bytes })

    const reply = await calls.getmessages(gateway)

    expect(reply.json).toMatchObject({ items: [{ messageId: '1', message: 'ñ' }] })
    expect(sandbox.calls[0]?.headers).toMatchObject({ 'accept-encoding': 'identity' })
  })

  test.for([
    ['br', brotliCompressSync(body)],
    ['gzip', Buffer.from(body)],
    ['gzip', gzipSync(body).subarray(0, 30)],
    ['gzip, gzip', gzipSync(gzipSync(body))],
    ['constructor', Buffer.from(body)],
  ] as const)('is refused if it cannot be decoded: %s', async ([coding, bytes], { gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', headers: { 'content-encoding': coding }, body: bytes })

    expect((await calls.getmessages(gateway)).json).toMatchObject({ status: 502, code: 'upstream-invalid-response' })
    const described = { reason: 'not decodable', bytes: bytes.length, looks: expect.any(String) }
    expect(gateway.log).toContainEqual(expect.objectContaining(described))
  })

  test('has the limit of an answer after it was decoded', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_MAX_RESPONSE_BYTES: '1024' } }) // the ñ has two bytes
    sandbox.answer({ headers: { 'content-encoding': 'gzip' }, body: gzipSync(Buffer.from(body.padEnd(1023))) })
    sandbox.answer({ headers: { 'content-encoding': 'gzip' }, body: gzipSync(Buffer.from(body.padEnd(1024))) })

    const replies = [await gateway.get(`${chat}/messages`), await gateway.get(`${chat}/messages`)]

    expect(replies.map(({ status, json }) => json.code ?? status)).toEqual([200, 'upstream-response-too-large'])
  })
})

describe('A list', () => {
  test('that is small on the wire and large as a body is refused', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'getmessages', body: `{"status":"SUCCESS","result":{"list":[${'{},'.repeat(200_000)}{}]}}` })

    expect((await calls.getmessages(gateway)).json).toMatchObject({ status: 502, code: 'upstream-response-too-large' })
  })
})

describe("Afilnet's Retry-After", () => {
  test('of more than an hour is an hour', async ({ gateway, sandbox }) => {
    sandbox.answer({ status: 429, headers: { 'retry-after': '86400' } })

    expect((await calls.sendmessage(gateway)).headers['retry-after']).toBe('3600')
  })
})
