import { describe, expect } from 'vitest'
import { catalogue } from '../../src/problem/catalogue.ts'
import { sharedTest as test } from '../gateway.ts'

/** Every code of the contract with its status, written by hand: the catalogue must agree with it. */
const contract = {
  'invalid-request': 400,
  'idempotency-key-required': 400,
  unauthenticated: 401,
  'insufficient-scope': 403,
  'chat-not-allowed': 403,
  'not-found': 404,
  'send-not-found': 404,
  'webhook-not-found': 404,
  'send-already-settled': 409,
  'send-already-started': 409,
  'send-expired': 410,
  'queue-not-enabled': 501,
  'queue-key-lost': 503,
  'send-settled-rejected': 422,
  'channel-not-found': 404,
  'chat-not-found': 404,
  'method-not-allowed': 405,
  'request-timeout': 408,
  'idempotency-key-in-use': 409,
  'media-not-found': 404,
  'cursor-gone': 410,
  'range-not-satisfiable': 416,
  'file-type-mismatch': 422,
  'media-not-public': 503,
  'media-full': 507,
  'payload-too-large': 413,
  'uri-too-long': 414,
  'unsupported-media-type': 415,
  'expectation-failed': 417,
  'file-type-rejected': 422,
  'file-url-rejected': 422,
  'thumb-url-rejected': 422,
  'destination-unroutable': 422,
  'idempotency-key-reused': 422,
  'rate-limited': 429,
  'send-quota-exceeded': 429,
  'too-many-streams': 429,
  'events-not-enabled': 501,
  'headers-too-large': 431,
  'internal-error': 500,
  'upstream-credentials-rejected': 502,
  'upstream-contract-mismatch': 502,
  'upstream-unknown-error': 502,
  'upstream-redirect': 502,
  'upstream-error': 502,
  'upstream-invalid-response': 502,
  'upstream-response-too-large': 502,
  'upstream-connection-lost': 502,
  'send-interrupted': 502,
  'upstream-out-of-credit': 503,
  'upstream-rate-limited': 503,
  'upstream-unreachable': 503,
  'upstream-circuit-open': 503,
  'store-unavailable': 503,
  overloaded: 503,
  'ledger-changed': 503,
  draining: 503,
  'upstream-timeout': 504,
}

const browser = { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' }

describe('GET /problems', () => {
  test('lists every code to a program', async ({ gateway }) => {
    const reply = await gateway.request('/problems', { key: null })

    expect(reply).toMatchObject({ status: 200, headers: { 'content-type': 'application/json; charset=utf-8', vary: 'Accept' } })
    const items = reply.json.items as { code: string; status: number; title: string }[]
    expect(Object.fromEntries(items.map(({ code, status }) => [code, status]))).toEqual(contract)
    for (const { title } of items) expect(title).toMatch(/\w{3}/)
  })

  test('links the page of each code for a person', async ({ start }) => {
    const gateway = await start({ env: { PUBLIC_URL: 'https://example.com/chat-api' } })

    const { headers, text } = await gateway.request('/problems', { key: null, headers: browser })

    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+';/)
    for (const code of Object.keys(contract)) expect(text).toContain(`<a href="https://example.com/chat-api/problems/${code}">${code}</a>`)
  })
})

describe('GET /problems/{code}', () => {
  test('knows the codes of the contract and no other', () => {
    expect(Object.fromEntries(Object.entries(catalogue).map(([code, { status }]) => [code, status]))).toEqual(contract)
  })

  test('explains each code to a program', async ({ gateway }) => {
    for (const [code, status] of Object.entries(contract)) {
      const reply = await gateway.request(`/problems/${code}`, { key: null })

      expect(reply, code).toMatchObject({ status: 200, headers: { 'content-type': 'application/json; charset=utf-8', vary: 'Accept' } })
      expect(reply.json, code).toEqual({
        code,
        status,
        title: expect.stringMatching(/\w{3}/),
        meaning: expect.stringMatching(/\w{3}/),
        retry: expect.stringMatching(/^(Yes|No)/),
      })
    }
  })

  test('explains each code to a person', async ({ gateway }) => {
    for (const [code, status] of Object.entries(contract)) {
      const reply = await gateway.request(`/problems/${code}`, { key: null, headers: browser })

      expect(reply, code).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8', vary: 'Accept' } })
      expect(reply.headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+';/)
      expect(reply.text).toContain(`<code>${code}</code>, HTTP ${status}`)
      expect(reply.text).not.toMatch(/<script|<key>|`|undefined/)
    }
  })

  test.for(['nothing', 'constructor', '__proto__', 'toString', 'NOT-FOUND', 'not-found%2F', '<script>alert(1)</script>'])(
    'does not know %s, and does not repeat it',
    async (code, { gateway }) => {
      for (const accept of ['application/json', 'text/html']) {
        const reply = await gateway.request(`/problems/${encodeURI(code)}`, { key: null, headers: { accept } })

        expect(reply).toMatchObject({ status: 404, headers: { 'content-type': 'application/problem+json; charset=utf-8' } })
        expect(reply.json.code).toBe('not-found')
        if (code !== 'nothing') expect(reply.text).not.toContain(code)
      }
    },
  )
})
