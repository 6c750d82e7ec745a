import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { magicCodes, magicWords } from '../../src/sandbox/magic.ts'
import type { Fault } from '../../src/sandbox/scripted-responses.ts'
import { answerTo, call, chat, form, headOf, open, type Params, post, raw, test } from './client.ts'

const hello = { ...chat, message: 'Hello' }
const send = (sandbox: Sandbox, more: Params = {}) => call(sandbox, 'sendmessage', { ...hello, ...more })
const request = (params: Params, length = Buffer.byteLength(form(params))) =>
  `POST /api/http/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${length}\r\n\r\n${form(params)}`
const empty = { status: 'SUCCESS', result: { list: [] } }

describe('a magic code', () => {
  const reads = { getmessages: chat, getunreadmessages: chat, sendmessage: hello }

  test.for([...magicCodes])('%s is the answer to a destination of that name, on any platform', async (code, { sandbox }) => {
    for (const [method, params] of Object.entries(reads)) {
      const asked = call(sandbox, method, { ...params, platform: 'webchat', destination: code })
      expect(await answerTo(sandbox, asked)).toEqual({ status: 'ERROR', error: code })
    }
    const chats = call(sandbox, 'getchats', { platform: 'webchat', platformid: code })
    expect(await answerTo(sandbox, chats)).toEqual({ status: 'ERROR', error: code })
    expect(sandbox.sent).toEqual([])
  })

  test('is marked, so that the gateway knows that it says nothing about other calls', async ({ sandbox }) => {
    const markOf = async (params: Params) => (await post(sandbox, send(sandbox, params))).headers.get('x-sandbox-magic')

    expect(await markOf({ destination: 'INCORRECT_USER_PASSWORD' })).toBe('true')
    expect(await markOf({ destination: 'INCORRECT_USER_PASSWORD', password: 'x' })).toBe(null)
    sandbox.answer({ body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' })
    expect(await markOf({ destination: 'INCORRECT_USER_PASSWORD' })).toBe(null)
    expect(await markOf({})).toBe(null)
  })

  test('waits until all is there and the password is right', async ({ sandbox }) => {
    expect(await answerTo(sandbox, send(sandbox, { destination: 'NO_CREDITS', message: '' }))).toMatchObject({
      error: 'MISSING_COMPULSORY_PARAM',
    })
    expect(await answerTo(sandbox, send(sandbox, { destination: 'NO_CREDITS', password: 'x' }))).toMatchObject({
      error: 'INCORRECT_USER_PASSWORD',
    })
  })
})

describe('a magic word', () => {
  test('names a conversation that is empty until somebody writes', async ({ sandbox }) => {
    const [list, word] = ['getmessages', 'html'] as const
    sandbox.answer({ method: list, times: 2, delayMs: 1 }) // a queued answer comes before the word's own
    expect(await answerTo(sandbox, call(sandbox, list, { ...chat, destination: word }))).toEqual(empty)

    expect(await (await post(sandbox, send(sandbox, { destination: word }))).text()).toContain('<html>')

    expect(sandbox.sent).toMatchObject([{ destination: word }])
    expect(await answerTo(sandbox, call(sandbox, list, { ...chat, destination: word }))).toMatchObject({
      result: { list: [{ message: 'Hello' }] },
    })
  })

  test('stands for a channel in getchats', async ({ sandbox }) => {
    sandbox.answer({ delayMs: 1 })

    expect(await answerTo(sandbox, call(sandbox, 'getchats', { platform: 'fax', platformid: 'slow' }))).toEqual(empty)
  })

  test('slow takes the message at once and answers properly later', async ({ sandbox }) => {
    expect(magicWords.get('slow')).toEqual({ delayMs: 3000 })
    const call = open(sandbox, send(sandbox, { destination: 'slow' }))
    await sandbox.called(1)

    expect(sandbox.sent).toHaveLength(1)
    call.destroy()
    await sandbox.until(({ calls }) => calls[0]?.closedByPeer === true)
    expect(sandbox.calls[0]).not.toHaveProperty('answer')
  })

  test('silent takes the message and shows when the caller gives up', async ({ sandbox }) => {
    const call = open(sandbox, send(sandbox, { destination: 'silent' }))
    await sandbox.called(1)

    expect(sandbox.sent).toHaveLength(1)
    expect(sandbox.calls).toMatchObject([{ closedByPeer: false }])
    call.destroy()
    await sandbox.until(({ calls }) => calls[0]?.closedByPeer === true)
  })

  test.for([
    ['drops', 1, 'ECONNRESET'],
    ['resets', 0, 'ECONNRESET'],
  ] as const)('%s ends without an answer, %i taken', async ([destination, taken, code], { sandbox }) => {
    const [error] = await once(open(sandbox, send(sandbox, { destination })), 'error')

    expect(error).toMatchObject({ code })
    expect(sandbox.sent).toHaveLength(taken)
    expect(sandbox.calls).toMatchObject([{ closedByPeer: false }])
  })

  test('truncated announces more than comes', async ({ sandbox }) => {
    const reply = await raw(sandbox.url, request(send(sandbox, { destination: 'truncated' })))
    const [head = '', body = ''] = reply.split('\r\n\r\n')

    expect(JSON.parse(body)).toEqual({ status: 'SUCCESS', result: [] })
    expect(Number(/content-length: (\d+)/i.exec(head)?.[1])).toBeGreaterThan(body.length)
    expect(sandbox.sent).toHaveLength(1)
  })
})

describe('a fault', () => {
  const fail = (sandbox: Sandbox, fault: Fault) => {
    sandbox.answer({ fault })
    return raw(sandbox.url, request(send(sandbox)))
  }
  const begin = async (sandbox: Sandbox, fault: Fault) => {
    sandbox.answer({ fault })
    return headOf(open(sandbox, send(sandbox)))
  }

  test('reset is a reset, and a drop is not', async ({ sandbox }) => {
    await expect(fail(sandbox, 'reset')).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(sandbox.sent).toEqual([])
    expect(await fail(sandbox, 'drop')).toBe('')
    expect(sandbox.sent).toHaveLength(1)
  })

  test('ssh speaks another protocol', async ({ sandbox }) => {
    expect(await fail(sandbox, 'ssh')).toBe('SSH-2.0-OpenSSH_9.2\r\n')
  })

  test('two-lengths contradicts itself', async ({ sandbox }) => {
    const lengths = [...(await fail(sandbox, 'two-lengths')).matchAll(/^Content-Length: (\d+)/gm)].map(([, length]) => length)

    expect(new Set(lengths).size).toBe(2)
  })

  test('stall sends a complete head and nothing after it', async ({ sandbox }) => {
    const reply = await begin(sandbox, 'stall')

    expect(reply.headers).toMatchObject({ 'content-length': String('{"status":"SUCCESS","result":[]}'.length), 'x-sandbox': 'true' })
    expect(reply.read()).toBeNull()
  })

  test('drip begins with one byte', async ({ sandbox }) => {
    const reply = await begin(sandbox, 'drip')

    expect(String(await once(reply, 'data'))).toBe('{')
  })

  test('endless waits for a slow reader, and learns that he left', async ({ sandbox }) => {
    const reply = await begin(sandbox, 'endless')
    for (let read = 0; read < 2 ** 23; ) read += (await once(reply, 'data'))[0].length
    reply.destroy()

    expect(reply.headers).toMatchObject({ 'transfer-encoding': 'chunked' })
    await sandbox.until(({ calls }) => calls[0]?.closedByPeer === true)
  })

  test('gzip-bomb is small on the wire', async ({ sandbox }) => {
    const reply = await begin(sandbox, 'gzip-bomb')
    const bytes = Buffer.concat(await reply.toArray())

    expect(reply.headers['content-encoding']).toBe('gzip')
    expect(bytes.length).toBeLessThan(100_000)
    expect(gunzipSync(bytes).length).toBe(64 * 1024 * 1024)
  })

  test('empty and html are whole answers', async ({ sandbox }) => {
    expect(await text(await begin(sandbox, 'empty'))).toBe('')
    expect(await text(await begin(sandbox, 'html'))).toContain('<html>')
    expect(sandbox.sent).toHaveLength(2)
  })
})

describe('a queued answer', () => {
  test('is given byte for byte, and nothing is taken', async ({ sandbox }) => {
    sandbox.answer({ status: 429, headers: { 'Retry-After': '7', 'x-sandbox': 'no' }, body: Uint8Array.of(0xef, 0xbb, 0xbf, 0xff) })
    const reply = await post(sandbox, send(sandbox))

    expect(reply.status).toBe(429)
    expect(reply.headers.get('retry-after')).toBe('7')
    expect(reply.headers.get('x-sandbox')).toBe('true')
    expect(Buffer.from(await reply.arrayBuffer()).toString('hex')).toBe('efbbbfff')
    expect(sandbox.sent).toEqual([])
  })

  test('waits for its call, as often as scripted', async ({ sandbox }) => {
    sandbox.answer({ method: 'sendmessage', destination: '34600000000', times: 2, status: 503 })
    sandbox.answer({ method: 'getchatchannels', status: 500 })
    const statuses = [send(sandbox, { destination: '1' }), send(sandbox), call(sandbox, 'getchatchannels'), send(sandbox), send(sandbox)]
    const seen = []
    for (const params of statuses) seen.push((await post(sandbox, params)).status)

    expect(seen).toEqual([200, 503, 500, 503, 200])
  })

  test('can take first, or refrain', async ({ sandbox }) => {
    sandbox.answer({ status: 502, takes: true })
    sandbox.answer({ fault: 'empty', takes: false })
    await post(sandbox, send(sandbox, { message: 'taken' }))
    await post(sandbox, send(sandbox, { message: 'not taken' }))

    expect(sandbox.sent).toMatchObject([{ message: 'taken' }])
  })

  test('takes nothing of a call that is wrong', async ({ sandbox }) => {
    sandbox.answer({ fault: 'empty' })
    await post(sandbox, send(sandbox, { platformid: '999' }))

    expect(sandbox.sent).toEqual([])
  })

  test('refuses headers that HTTP cannot carry while its author is there to see', async ({ sandbox }) => {
    expect(() => sandbox.answer({ headers: { 'x-a': 'b\r\nc' } })).toThrow()
  })
})
