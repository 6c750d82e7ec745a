import { describe, expect } from 'vitest'
import { faults } from '../../src/afilnet/faults.ts'
import { operations } from '../../src/afilnet/operations.ts'
import { type TransportName, transportNames } from '../../src/afilnet/transports.ts'
import { catalogue } from '../../src/problem/catalogue.ts'
import { startSandbox } from '../../src/sandbox/app.ts'
import { answersThatFail, lost } from '../afilnet/answers-that-fail.ts'
import { calls, kinds } from '../afilnet/calls.ts'
import { type TestGateway, test, transportEnvironment } from '../gateway.ts'

const envelope = (content: string) =>
  `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>${content}</s:Body></s:Envelope>`

/** An error as each transport carries it. SOAP has two ways: the envelope in a result, and a fault. */
const forms: [name: string, transport: TransportName, answer: (code: string) => { status?: number; body: string }][] = [
  ...transportNames
    .filter(name => name !== 'soap')
    .map(name => [name, name, (code: string) => ({ body: `{"status":"ERROR","error":"${code}"}` })] as const)
    .map(form => [...form] as [string, TransportName, (code: string) => { body: string }]),
  ['soap', 'soap', code => ({ body: envelope(`<r><return><status>ERROR</status><error>${code}</error></return></r>`) })],
  ['soap as JSON', 'soap', code => ({ body: envelope(`<r><return>{"status":"ERROR","error":"${code}"}</return></r>`) })],
  [
    'soap as a fault',
    'soap',
    code => ({ status: 500, body: envelope(`<s:Fault><faultcode>s:Server</faultcode><faultstring>${code}</faultstring></s:Fault>`) }),
  ],
  [
    'soap as a fault code',
    'soap',
    code => ({ status: 500, body: envelope(`<s:Fault><faultcode>s:Client.${code}</faultcode><faultstring>No</faultstring></s:Fault>`) }),
  ],
]

const magic = { 'X-Sandbox-Magic': 'true' } // so that rejected credentials do not end the table

describe.for(forms)('Every documented error over %s', ([, transport, answer]) => {
  test.for(operations.map(({ method }) => method))('of %s', async (method, { start, sandbox }) => {
    const gateway = await start({ env: transportEnvironment(sandbox, transport) })

    for (const [upstreamCode, { code, outcome }] of Object.entries(faults)) {
      sandbox.answer({ ...answer(upstreamCode), headers: magic })
      const { status, json } = await calls[method](gateway)

      expect({ status, code: json.code, outcome: json.outcome, upstreamCode: json.upstreamCode }, upstreamCode).toEqual({
        status: catalogue[code].status,
        code,
        outcome,
        upstreamCode,
      })
    }
    expect(sandbox.sent).toEqual([])
  })
})

const ofEachKind = (gateway: TestGateway) => Promise.all(Object.values(kinds).map(method => calls[method](gateway)))
const unknown = { outcome: 'unknown', retry: 'no' }
const harmless = { outcome: 'not_applied', retry: 'yes' }

describe.for(transportNames)('A fault of the wire over %s', transport => {
  test.for(answersThatFail)('%s', async ([, answer, failure], { start, sandbox }) => {
    const env = { ...transportEnvironment(sandbox, transport), AFILNET_MAX_RESPONSE_BYTES: '1048576', AFILNET_TIMEOUT_MS: '20000' }
    const gateway = await start({ env })
    const asked = failure === lost || answer.status === 500 || answer.status === 503 ? 3 : 1
    for (const method of Object.values(kinds)) sandbox.answer({ ...answer, method, takes: true, times: method === kinds.read ? asked : 1 })

    const replies = await ofEachKind(gateway)

    const [status, code] = failure
    expect(replies.map(({ json }) => json)).toMatchObject([
      { status, code, ...harmless },
      { status, code, ...unknown },
      { status, code, ...unknown },
    ])
    expect(sandbox.calls, 'no other is repeated').toHaveLength(asked + 2)
    expect(sandbox.sent).toHaveLength(1)
    expect(await gateway.get('/channels'), 'the gateway goes on').toMatchObject({ status: 200 })
  })

  test.for(['silent', 'stall', 'drip'] as const)('%s until the deadline', async (fault, { start, sandbox }) => {
    const env = { ...transportEnvironment(sandbox, transport), AFILNET_TIMEOUT_MS: '1500', AFILNET_LATE_MS: '0' }
    const gateway = await start({ env })
    await gateway.get('/channels') // a token is not part of it
    for (const method of Object.values(kinds)) sandbox.answer({ method, fault })

    const replies = await ofEachKind(gateway)

    const timeout = { status: 504, code: 'upstream-timeout' }
    expect(replies.map(({ json }) => json)).toMatchObject([
      { ...timeout, ...harmless },
      { ...timeout, ...unknown },
      { ...timeout, ...unknown },
    ])
    expect(sandbox.calls, 'none is repeated').toHaveLength(4)
  })

  test('a result that comes after the deadline settles the send', async ({ start, sandbox }) => {
    const gateway = await start({ env: { ...transportEnvironment(sandbox, transport), AFILNET_TIMEOUT_MS: '1500' } })
    await gateway.get('/channels')
    sandbox.answer({ method: 'sendmessage', delayMs: 2_500 })

    const { json } = await calls.sendmessage(gateway)

    expect(json).toMatchObject({ status: 504, code: 'upstream-timeout', outcome: 'unknown' })
    await expect.poll(async () => (await gateway.get(`/sends/${json.sendId}`)).json.state).toBe('accepted')
  })

  test.for([301, 307, 429])('HTTP %s', async (status, { start, sandbox }) => {
    const gateway = await start({ env: transportEnvironment(sandbox, transport) })
    const other = await startSandbox()
    for (const method of Object.values(kinds)) sandbox.answer({ method, status, headers: { location: `${other.url}/api/http/` } })

    const replies = await ofEachKind(gateway)

    const expected = status === 429 ? { status: 503, code: 'upstream-rate-limited' } : { status: 502, code: 'upstream-redirect' }
    for (const { json } of replies) expect(json).toMatchObject(expected)
    expect(other.calls).toEqual([])
    expect(sandbox.sent).toEqual([])
    await other.close()
  })
})
