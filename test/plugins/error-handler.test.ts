import Fastify from 'fastify'
import { describe, expect, onTestFinished, test as plain } from 'vitest'
import { failures, faults } from '../../src/afilnet/faults.ts'
import { Cancellation } from '../../src/lib/cancellation.ts'
import { errorHandler } from '../../src/plugins/error-handler.ts'
import { catalogue, type ProblemCode } from '../../src/problem/catalogue.ts'
import { Problem } from '../../src/problem/problem.ts'
import type { Call } from '../../src/upstream/call.ts'
import { sharedTest as test } from '../gateway.ts'

const codes = Object.keys(catalogue) as ProblemCode[] // the literal's own keys
const operatorFirst = [
  'upstream-credentials-rejected',
  'upstream-contract-mismatch',
  'upstream-out-of-credit',
  'ledger-changed',
  'events-not-enabled',
  'queue-not-enabled',
  'media-not-public',
]

describe('The catalogue', () => {
  plain.for(codes)('tells for %s whether to repeat, as the contract rules it', code => {
    const { status } = catalogue[code]

    for (const outcome of ['not_applied', 'unknown'] as const) {
      const { retry, headers } = new Problem(code, { outcome, retryAfterS: 7 })

      const appliedNothing = outcome === 'not_applied' && status >= 500
      const expected = operatorFirst.includes(code)
        ? 'no'
        : status === 409
          ? outcome === 'unknown'
            ? 'same-key'
            : 'no'
          : status === 429 || status === 408 || appliedNothing
            ? 'yes'
            : 'no'
      expect(retry, outcome).toBe(expected)
      expect(headers, outcome).toEqual(expected === 'no' ? {} : { 'retry-after': '7' })
    }
  })

  plain('has Retry-After on every 503 that a retry can fix', () => {
    const silent = codes.filter(code => catalogue[code].status === 503 && !('retry-after' in new Problem(code).headers))

    expect(silent).toEqual(['upstream-out-of-credit', 'queue-key-lost', 'ledger-changed', 'media-not-public'])
  })

  plain('explains each error in words of its own', () => {
    for (const words of [codes.map(code => catalogue[code].title), codes.map(code => catalogue[code].meaning)]) {
      expect(new Set(words).size).toBe(codes.length)
      expect(words.every(text => text.length > 10)).toBe(true)
    }
  })
})

describe('A fault of Afilnet’s', () => {
  const table = Object.entries({ ...faults, ...failures })

  plain.for(table)('%s stands in the catalogue', ([, fault]) => {
    expect(catalogue).toHaveProperty(fault.code)
  })

  plain.for(table)('%s blames the side its status blames', ([, fault]) => {
    expect(fault.side === 'caller').toBe(catalogue[fault.code].status < 500)
  })

  plain.for(table)('%s leaves open what happened only with 502 and 504', ([, fault]) => {
    if (fault.outcome === 'unknown') expect([502, 504]).toContain(catalogue[fault.code].status)
    else expect(fault.outcome).toBe('not_applied')
  })
})

describe('A fault of the gateway itself', () => {
  plain.for([
    [false, 'not_applied', 'yes'],
    [true, 'unknown', 'no'],
  ] as const)('once a call may have left (%s) is 500 and says nothing of itself', async ([unsafeStarted, outcome, retry]) => {
    const fault = Object.assign(new Error('fake-secret'), { code: 'EFAKE', statusCode: 400 })
    const observed: unknown[] = []
    const app = Fastify()
    onTestFinished(() => app.close())
    await app.register(errorHandler, { base: '', observe: (event, details) => void observed.push([event, details]) })
    app.get('/', async request => {
      request.call = { unsafeStarted, cancellation: new Cancellation() } as Call
      throw fault
    })

    const answer = await fetch(await app.listen({ host: '127.0.0.1', port: 0 }))
    const text = await answer.text()

    expect([answer.status, answer.headers.get('cache-control')]).toEqual([500, 'no-store'])
    expect(JSON.parse(text)).toMatchObject({ status: 500, code: 'internal-error', outcome, retry })
    expect(text).not.toMatch(/fake-secret|EFAKE/)
    expect(observed).toMatchObject([['internalError', { err: fault }]])
  })
})

describe('A problem', () => {
  test('has the form of RFC 9457 and no member beyond the documented ones', async ({ gateway }) => {
    const reply = await gateway.get('/chats/whatsapp/CHAT_NOT_FOUND')

    expect(reply.json).toEqual({
      type: '/problems/chat-not-found',
      title: 'Afilnet knows no such chat',
      status: 404,
      detail: expect.any(String),
      instance: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/),
      code: 'chat-not-found',
      outcome: 'not_applied',
      retry: 'no',
      requestId: reply.headers['x-request-id'],
      upstreamCode: 'CHAT_NOT_FOUND',
    })
  })

  test('points where PUBLIC_URL says, in every problem', async ({ start, sandbox }) => {
    const gateway = await start({ env: { PUBLIC_URL: 'https://example.com/chat-api/' } })

    const routed = await gateway.get('/nothing')
    const undecodable = await gateway.get('/%zz')
    const raw = await gateway.raw('nonsense\r\n\r\n')
    sandbox.answer({ body: '{"status":"ERROR","error":"CHAT_NOT_FOUND"}' })
    const refused = await gateway.post('/chats/telegram/200/1/messages', { message: 'Hello' })
    const send = await gateway.get(`/sends/${refused.json.sendId}`)

    for (const { type } of [refused.json, send.json.problem]) expect(type).toBe('https://example.com/chat-api/problems/chat-not-found')
    expect(routed.json.type).toBe('https://example.com/chat-api/problems/not-found')
    expect(undecodable.json.type).toBe('https://example.com/chat-api/problems/invalid-request')
    expect(raw).toContain('"type":"https://example.com/chat-api/problems/invalid-request"')
  })

  test.for([
    ['a send', 'POST', 'messages', 'unknown', 'no'],
    ['unread', 'GET', 'unread', 'unknown', 'no'],
    ['another read', 'GET', 'messages', 'not_applied', 'yes'],
  ] as const)('of %s whose answer got lost says what is known', async ([, method, resource, outcome, retry], { gateway, sandbox }) => {
    sandbox.answer({ fault: 'drop', times: 3 }) // a safe read is asked up to three times
    const body = method === 'POST' ? '{"message":"Hello"}' : ''
    const headers: Record<string, string> = method === 'POST' ? { 'content-type': 'application/json' } : {}

    const reply = await gateway.request(`/chats/telegram/200/1/${resource}`, { method, headers, body })

    expect(reply).toMatchObject({ status: 502, json: { code: 'upstream-connection-lost', outcome, retry } })
    expect(reply.headers).not.toHaveProperty('retry-after')
  })
})
