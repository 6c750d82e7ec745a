import { describe, expect } from 'vitest'
import { type TransportName, transportNames } from '../../src/afilnet/transports.ts'
import { calls } from '../afilnet/calls.ts'
import { hold, requestsInFlight, type StartOptions, type TestGateway, test, transportEnvironment } from '../gateway.ts'

const text = 'Hello, <b>&amp;</b> ]]> "ñ" 👍\r\n\ttwo lines '
const fileUrl = 'https://example.com/menu.jpg?size=1&name=a%20b'
const conversation = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const chat = '/chats/whatsapp/100/34600000000'

/** The six operations, and the parameters that must arrive. */
const operations: [method: string, run: (gateway: TestGateway) => Promise<{ status: number }>, status: number, params: object][] = [
  ['getchatchannels', calls.getchatchannels, 200, {}],
  ['getchats', calls.getchats, 200, { platform: 'whatsapp', platformid: '100' }],
  ['getmessages', calls.getmessages, 200, conversation],
  ['getunreadmessages', calls.getunreadmessages, 200, conversation],
  ['sendmessage', gateway => gateway.post(`${chat}/messages`, { message: text }), 201, { ...conversation, message: text }],
  [
    'sendfile',
    gateway => gateway.post(`${chat}/files`, { type: 'image', fileUrl, message: text }),
    201,
    { ...conversation, type: 'image', fileurl: fileUrl, message: text },
  ],
]

const credentials = (transport: TransportName) => (transport === 'basic' || transport === 'json' ? [] : ['user', 'password'])

describe.for(transportNames)('The transport %s', transport => {
  const env = (sandbox: Parameters<typeof transportEnvironment>[0]): StartOptions => ({ env: transportEnvironment(sandbox, transport) })

  test('carries each operation with exactly its parameters, and reads its answer', async ({ start, sandbox }) => {
    const gateway = await start(env(sandbox))
    const shown = await start()

    for (const [method, run, status, params] of operations) {
      const before = sandbox.calls.length
      const reply = await run(gateway)

      expect(reply.status, method).toBe(status)
      expect(sandbox.calls.length, method).toBe(before + 1)
      const names = sandbox.calls.at(-1)?.params.map(([name]) => name) ?? []
      expect(names.toSorted()).toEqual(['class', 'method', ...credentials(transport), ...Object.keys(params)].toSorted())
      expect(Object.fromEntries(sandbox.calls.at(-1)?.params ?? [])).toMatchObject({ class: 'chat', method, ...params })
    }
    for (const read of [calls.getchatchannels, calls.getchats, calls.getmessages])
      expect((await read(gateway)).json).toEqual((await read(shown)).json)
  })

  test('reports what Afilnet refuses', async ({ start, sandbox }) => {
    const gateway = await start(env(sandbox))
    const at = (destination: string) => `/chats/whatsapp/100/${destination}/messages`

    const replies = [
      await gateway.get(at('CHAT_NOT_FOUND')),
      await gateway.post(at('NO_ROUTE_AVAILABLE'), { message: text }),
      await gateway.post(at('NOT_ACCESS_TO_TEMPLATE'), { message: text }),
      await gateway.get(at('INCORRECT_USER_PASSWORD')),
    ]

    expect(replies.map(({ json: { status, code, outcome } }) => [status, code, outcome])).toEqual([
      [404, 'chat-not-found', 'not_applied'],
      [422, 'destination-unroutable', 'not_applied'],
      [502, 'upstream-unknown-error', 'unknown'],
      [502, 'upstream-credentials-rejected', 'not_applied'],
    ])
    expect(sandbox.sent).toEqual([])
  })
})

const refusals = {
  json: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}',
  soap: '<Envelope><Body><Fault><faultcode>INCORRECT_USER_PASSWORD</faultcode></Fault></Body></Envelope>',
}

test.for(Object.entries(refusals) as [TransportName, string][])(
  'Over %s, a call that waited while Afilnet rejected the password does not leave',
  async ([transport, body], { start, sandbox }) => {
    const gateway = await start({ env: { ...transportEnvironment(sandbox, transport), AFILNET_CONNECTIONS: '1' } })
    const release = hold(sandbox, { method: 'getmessages', body })

    const reading = calls.getmessages(gateway)
    await sandbox.called(1)
    const sending = calls.sendmessage(gateway)
    await expect.poll(() => requestsInFlight(gateway)).toBe(2)
    release()
    const replies = [await sending, await reading]

    expect(replies.map(({ json: { code } }) => code)).toEqual(Array(2).fill('upstream-credentials-rejected'))
    expect(sandbox.calls).toHaveLength(1)
  },
)
