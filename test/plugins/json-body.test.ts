import { gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

const path = '/chats/telegram/200/700100200/messages'
const post = (body: string | Buffer, headers = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body,
})

describe('A body', () => {
  test.for([
    ['that is empty', ''],
    ['that is not JSON', 'message=Hello'],
    ['that is cut short', '{"message":"Hel'],
    ['with more behind it', '{"message":"Hello"} {}'],
    ['with a byte order mark', '\ufeff{"message":"Hello"}'],
    ['of bytes that are not UTF-8', Buffer.from('{"message":"\xff"}', 'latin1')],
    ['of half a character', Buffer.from('{"message":"ñ"}').subarray(0, 13)],
    ['in UTF-16', Buffer.from('{"message":"Hello"}', 'utf16le')],
    ['with an encoded surrogate', Buffer.from('{"message":"\xed\xa0\x80"}', 'latin1')],
    ['with half a surrogate pair', '{"message":"\\ud800"}'],
    ['with a surrogate pair the wrong way round', '{"message":"\\udc00\\ud800"}'],
    ['with half a surrogate pair as reference', '{"message":"Hello","reference":"\\udfff"}'],
    ['with a member twice', '{"message":"Hello","message":"Bye"}'],
    ['with a member twice, once in disguise', '{"message":"Hello","m\\u0065ssage":"Bye"}'],
    ['with __proto__', '{"message":"Hello","__proto__":{"reference":"x"}}'],
    ['with __proto__ in disguise', '{"message":"Hello","__pr\\u006fto__":{"reference":"x"}}'],
    ['with constructor.prototype', '{"message":"Hello","constructor":{"prototype":{"reference":"x"}}}'],
    ['with a line break in a text', '{"message":"Hel\nlo"}'],
    ['of arrays 10,000 deep', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['of objects 10,000 deep', `${'{"message":'.repeat(5_000)}1${'}'.repeat(5_000)}`],
    ['that is a list', '[{"message":"Hello"}]'],
    ['that is null', 'null'],
    ['that is a text', '"Hello"'],
  ] as const)('%s is refused', async ([, body], { gateway, sandbox }) => {
    const reply = await gateway.request(path, post(body))

    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid-request', outcome: 'not_applied', retry: 'no' } })
    expect(reply.text).not.toMatch(/Hello|Bye/)
    expect(sandbox.calls).toEqual([])
  })

  test('is refused when it is packed', async ({ gateway, sandbox }) => {
    const reply = await gateway.request(path, post(gzipSync('{"message":"Hello"}'), { 'content-encoding': 'gzip' }))

    expect(reply).toMatchObject({ status: 415, json: { code: 'unsupported-media-type' } })
    expect(sandbox.calls).toEqual([])
  })

  test('leaves the prototype of everything else alone', async ({ gateway }) => {
    await gateway.request(path, post('{"constructor":{"prototype":{"polluted":1}},"__proto__":{"polluted":1}}'))

    expect({}).not.toHaveProperty('polluted')
  })

  test.for([
    ['a null byte', '\0'],
    ['line breaks', 'one\r\ntwo\ttabs'],
    ['what would be a parameter', '&password=x&class=y#?%26%00+ +'],
    ['the names of its members', '{"message":"message","message":"message"}'],
    ['quotes and backslashes', '\\"\\\\"{}[]'],
    ['emoji and several scripts', '👩‍👩‍👧 ñandú 你好 שלום \u2028\ufeff\ufffd'],
  ] as const)('carries %s unchanged', async ([, message], { gateway, sandbox }) => {
    const reply = await gateway.post(path, { message })

    expect(reply.status).toBe(201)
    expect(sandbox.sent.map(sent => sent.message)).toEqual([message])
  })
})
