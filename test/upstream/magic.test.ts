import { describe, expect } from 'vitest'
import { chat } from '../afilnet/calls.ts'
import { sharedTest as test } from '../gateway.ts'

const rejected = { status: 502, code: 'upstream-credentials-rejected' }
const at = (destination: string) => `/chats/whatsapp/100/${destination}/messages`

describe('A magic destination of the sandbox', () => {
  test.for(['post', 'get', 'basic'])(
    'rejects the credentials of its own call only, with the %s transport',
    async (transport, { start, sandbox }) => {
      const url = `${sandbox.url}/api/${transport === 'basic' ? 'basic' : 'http'}/`
      const gateway = await start({ env: { AFILNET_TRANSPORT: transport, AFILNET_URL: url } })

      for (const reply of [
        await gateway.get(at('INCORRECT_USER_PASSWORD')),
        await gateway.post(at('INCORRECT_USER_PASSWORD'), { message: 'Hello' }),
      ])
        expect({ status: reply.status, code: reply.json.code }).toEqual(rejected)
      expect((await gateway.get(`${chat}/messages`)).status).toBe(200)
      expect((await gateway.post(`${chat}/messages`, { message: 'Hello' })).status).toBe(201)
    },
  )

  test('does not hide that the account itself is rejected', async ({ gateway, sandbox }) => {
    sandbox.answer({ body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' })

    expect((await gateway.get(at('INCORRECT_USER_PASSWORD'))).json.code).toBe(rejected.code)
    expect((await gateway.get(`${chat}/messages`)).json.code).toBe(rejected.code)
    expect(sandbox.calls).toHaveLength(1)
  })
})
