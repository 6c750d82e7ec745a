import { createServer } from 'node:http'
import { describe, expect, onTestFinished } from 'vitest'
import { Client } from '../../src/afilnet/client.ts'
import { createConnector } from '../../src/afilnet/connector.ts'
import { createJsonProtocol } from '../../src/afilnet/json/protocol.ts'
import { createLargeResponseSlots } from '../../src/afilnet/large-responses.ts'
import { getChatChannels } from '../../src/afilnet/operations.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/variables.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, environment, hold, type StartOptions, sharedTestWith, transportEnvironment } from '../gateway.ts'
import { calls, chat } from './calls.ts'
import { listen } from './listeners.ts'

const test = sharedTestWith(sandbox => transportEnvironment(sandbox, 'json'))
const json = (sandbox: Sandbox, env: Environment = {}): StartOptions => ({ env: { ...transportEnvironment(sandbox, 'json'), ...env } })
const { sendmessage, getmessages, getchatchannels } = calls
const problem = ({ json: { status, code, outcome, retry } }: { json: Record<string, unknown> }) => ({ status, code, outcome, retry })
const unreachable = { status: 503, code: 'upstream-unreachable', outcome: 'not_applied', retry: 'yes' }
const rejected = { status: 502, code: 'upstream-credentials-rejected', outcome: 'not_applied', retry: 'no' }
const mismatch = { status: 502, code: 'upstream-contract-mismatch', outcome: 'not_applied', retry: 'no' }

describe('A token', () => {
  test('is asked for once, by however many calls wait for it', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'token', delayMs: 300 })

    const replies = await Promise.all(Array.from({ length: 20 }, () => sendmessage(gateway)))
    await getmessages(gateway)

    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]))
    expect(sandbox.sent).toHaveLength(20)
    expect(sandbox.oauth.requests).toMatchObject([{ grant: 'client_credentials', authentication: 'basic', status: 200 }])
  })

  test('is not asked for before a call needs it, and names the scope', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox, { AFILNET_SCOPE: 'chat' }))
    expect(sandbox.oauth.requests).toEqual([])

    await getchatchannels(gateway)

    expect(sandbox.oauth.requests).toMatchObject([{ scope: 'chat', status: 200 }])
  })

  test('of the grant password comes from user and password', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox, { AFILNET_GRANT: 'password' }))

    expect((await getchatchannels(gateway)).status).toBe(200)
    expect(sandbox.oauth.requests).toMatchObject([{ grant: 'password', status: 200 }])
    expect(sandbox.calls[0]?.params).toEqual([
      ['class', 'chat'],
      ['method', 'getchatchannels'],
    ])
  })

  const refusals = ['{"error":"invalid_client"}', '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}', 'no JSON']

  test.for(refusals)('comes from servers that do not decode id and secret, too, and refuse by %s', async (refusal, { start, sandbox }) => {
    const seen: string[] = []
    const { clientId } = sandbox
    const { clientSecret } = canaries
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret }
    const port = await listen(
      createServer(async ({ headers: { authorization = '' } }, response) => {
        const client = Buffer.from(authorization.slice('Basic '.length), 'base64').toString()
        seen.push(client)
        response.statusCode = client === `${clientId}:${clientSecret}` ? 200 : 401
        if (response.statusCode === 401) return response.end(refusal)
        const token = await fetch(`${sandbox.url}/oauth/token`, { method: 'POST', body: new URLSearchParams(form) })
        return response.end(await token.text())
      }),
    )
    const gateway = await start(json(sandbox, { AFILNET_TOKEN_URL: `http://127.0.0.1:${port}/token` }))

    expect((await sendmessage(gateway)).status).toBe(201)
    expect(gateway.log.filter(({ msg }) => /token/.test(String(msg)))).toMatchObject([{ level: 30 }])
    sandbox.oauth.revoke()
    expect((await sendmessage(gateway)).status).toBe(201)

    const [encoded, plain] = [`${clientId}:fake-canary-client-secret-%C3%B1%26%3D%25`, `${clientId}:${clientSecret}`]
    expect(seen).toEqual([encoded, plain, plain])
    expect(sandbox.sent).toHaveLength(2)
  })

  test('that no header can carry is not kept', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'token', body: '{"access_token":"a\\r\\nb: c","token_type":"bearer","expires_in":3600}' })

    expect((await sendmessage(gateway)).status).toBe(201)
    expect(sandbox.oauth.requests).toHaveLength(2)
  })

  test.for<[string, object]>([
    ['null for what is absent', { token_type: 'Bearer', expires_in: null, scope: null, refresh_token: null, error: '' }],
    ['no type', { expires_in: '3600' }],
    ['more that is odd', { token_type: 'BEARER', scope: ['chat'], refresh_token: false, id_token: 'none' }],
  ])('may come with %s', async ([, more], { gateway, sandbox }) => {
    sandbox.answer({ method: 'token', body: JSON.stringify({ access_token: 'unknown-to-the-sandbox', ...more }) })

    expect((await getchatchannels(gateway)).status).toBe(200)
    expect(sandbox.calls.map(({ answer }) => answer?.status)).toEqual([401, 200]) // it was sent, and the next token was good
  })

  test('is renewed before it expires, by the clock of the gateway', async ({ gateway, sandbox }) => {
    Object.assign(sandbox.oauth, { expiresInS: 0, validForS: 3_600 })
    await getchatchannels(gateway)
    sandbox.oauth.expiresInS = undefined
    await getchatchannels(gateway)
    await getchatchannels(gateway)

    expect(sandbox.oauth.requests).toHaveLength(2)
    expect(sandbox.calls.map(({ answer }) => answer?.status)).toEqual([200, 200, 200])
  })

  test('of a short life is used for most of it', async ({ gateway, sandbox }) => {
    sandbox.oauth.expiresInS = 20
    for (const _ of [1, 2]) await getchatchannels(gateway)

    expect(sandbox.oauth.requests).toHaveLength(1)
  })

  test('that comes in time takes its time from the budget of the call', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox, { AFILNET_TIMEOUT_MS: '500' }))
    sandbox.answer({ method: 'token', delayMs: 300 })
    sandbox.answer({ method: 'sendmessage', delayMs: 400 })

    expect((await sendmessage(gateway)).json).toMatchObject({ status: 504, code: 'upstream-timeout', outcome: 'unknown' })
  })

  test('that comes too late takes no call along', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox, { AFILNET_TIMEOUT_MS: '2000' }))
    await getchatchannels(gateway) // its connection could carry the call at once
    sandbox.oauth.revoke()
    sandbox.answer({ method: 'token', delayMs: 200, fault: 'drop' })
    const release = hold(sandbox, { method: 'token' }) // from the second attempt, which has less time than the request for a token

    expect(problem(await sendmessage(gateway))).toEqual(unreachable)
    release()
    await expect.poll(async () => (await getchatchannels(gateway)).status).toBe(200)
    expect(sandbox.sent).toEqual([])
  })

  test('that expired earlier than announced costs a call one more token', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox))
    sandbox.oauth.validForS = 0
    sandbox.answer({ method: 'token', headers: { date: 'Thu, 01 Jan 1970 00:00:00 GMT' } })
    const expired = await getchatchannels(gateway)
    await gateway.reload(readConfig({ ...environment(sandbox), ...transportEnvironment(sandbox, 'json'), AFILNET_SCOPE: 'chat' }))
    sandbox.answer({ method: 'token', body: '{"access_token":"expired","token_type":"Bearer","expires_in":3600}' })
    sandbox.oauth.validForS = 3_600

    expect(problem(expired)).toEqual(rejected)
    expect((await getchatchannels(gateway)).status).toBe(200)
    expect(sandbox.oauth.requests).toHaveLength(4)
  })

  test('that Afilnet refuses is renewed once, for all calls that it was refused to, and a send is repeated with the new one', async ({
    start,
    sandbox,
  }) => {
    const gateway = await start(json(sandbox))
    await getchatchannels(gateway)
    sandbox.oauth.revoke()

    const replies = await Promise.all(Array.from({ length: 10 }, () => sendmessage(gateway)))

    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]))
    expect(sandbox.sent).toHaveLength(10)
    expect(sandbox.oauth.requests).toHaveLength(2)
    const health = await (await fetch(`${gateway.adminUrl}/health/upstream`)).text()
    expect(health).toContain('"accepted":true')
  })

  test('that is new and refused ends the call, and pauses the account', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'sendmessage', status: 401, times: 2 })

    const first = await sendmessage(gateway)
    const next = await getmessages(gateway)

    expect([first, next].map(problem)).toEqual([rejected, rejected])
    expect(sandbox.calls).toHaveLength(2)
    expect(sandbox.oauth.requests).toHaveLength(2)
    expect(sandbox.sent).toEqual([])
  })

  test('that Afilnet refuses in an answer ends the call, and is not used for the next', async ({ sandbox }) => {
    const account = { url: new URL('/api/json/', sandbox.url), user: '', password: '', timeoutMs: 5_000 }
    const oauth = { tokenUrl: new URL('/oauth/token', sandbox.url), clientId: sandbox.clientId, clientSecret: canaries.clientSecret }
    const connect = createConnector(5_000)
    const protocol = createJsonProtocol({ ...account, ...oauth, grant: 'client_credentials', jsonStyle: 'body', connect })
    const limits = { connections: 1, lateMs: 0, maxResponseBytes: 65_536, largeResponseSlots: createLargeResponseSlots() }
    const client = new Client({ ...account, ...limits, transport: 'json', protocol })
    onTestFinished(() => client.close())
    const call = () => client.call(getChatChannels, {}, { caller: 'someone', timeoutMs: 5_000 })
    sandbox.answer({ method: 'getchatchannels', body: '{"status":"error","error":"INCORRECT_USER_PASSWORD"}' })

    await expect(call()).rejects.toMatchObject({ upstreamCode: 'INCORRECT_USER_PASSWORD' })
    expect(sandbox.calls).toHaveLength(1)
    await call()
    await call()

    expect(sandbox.oauth.requests).toHaveLength(2)
  })

  test('that is given again after it was refused is not tried again', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'token', body: '{"access_token":"always-the-same","token_type":"Bearer"}', times: 3 })

    expect(problem(await sendmessage(gateway))).toEqual(rejected)
    expect(sandbox.calls).toHaveLength(1)
    expect(sandbox.oauth.requests).toHaveLength(2)
    const health = await (await fetch(`${gateway.adminUrl}/health/upstream`)).text()
    expect(health).toContain('"code":"upstream-credentials-rejected"')
  })

  test.for([200, 400, 403, 500, 301])(
    'is not renewed after HTTP %s: a send may have been applied',
    async (status, { gateway, sandbox }) => {
      sandbox.answer({ method: 'sendmessage', status, takes: true, body: '{"error":"invalid_token"}' })

      expect((await sendmessage(gateway)).json).toMatchObject({ status: 502, outcome: 'unknown' })
      expect(sandbox.calls).toHaveLength(1)
      expect(sandbox.oauth.requests).toHaveLength(1)
    },
  )

  test('is in no log, metric, answer or health report', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox))
    for (const delayMs of [0, 50]) {
      sandbox.oauth.revoke()
      sandbox.answer({ method: 'token', delayMs })
      await getmessages(gateway)
    }
    sandbox.oauth.revoke()
    sandbox.answer({ method: 'token', status: 400, body: JSON.stringify({ error: canaries.clientSecret }) })
    await getmessages(gateway)
    sandbox.answer({
      method: 'token',
      times: 2, // with id and secret encoded, and as they are
      status: 401,
      body: JSON.stringify({ error: 'invalid_client', error_description: canaries.clientSecret }),
    })
    await getmessages(gateway)

    const seen = await Promise.all(['/metrics', '/health/upstream'].map(async path => (await fetch(`${gateway.adminUrl}${path}`)).text()))
    for (const canary of Object.values(canaries)) expect((seen.join('') + JSON.stringify(gateway.log)).includes(canary)).toBe(false)
    expect(seen[0]).toContain('gateway_upstream_tokens_total{account="default",result="ok"} 2')
    expect(gateway.log.filter(({ msg }) => /token/.test(String(msg))).map(({ level, oauthError }) => [level, oauthError])).toEqual([
      [30, undefined],
      [30, undefined],
      [40, undefined],
      [40, 'invalid_client'],
    ])
  })
})

describe('Without a token', () => {
  const page = '<!DOCTYPE html><title>Maintenance</title>'
  test.for<[string, Parameters<Sandbox['answer']>[0], object]>([
    ['HTTP 500', { status: 500 }, unreachable],
    ['a page', { body: page }, unreachable],
    ['a page with HTTP 503', { status: 503, body: page }, unreachable],
    ['a lost connection', { fault: 'drop' }, unreachable],
    ['an answer without a token', { body: '{"token_type":"bearer"}' }, unreachable],
    ['a token of another type', { body: '{"access_token":"x","token_type":"mac"}' }, unreachable],
    ['a token that no header can carry', { body: '{"access_token":"a\\r\\nb: c","token_type":"bearer"}' }, unreachable],
    ['too long an answer', { body: `${'{"token_type":"bearer","access_token":"'.padEnd(200_000, 'x')}"}` }, unreachable],
    ['HTTP 401', { status: 401, body: page }, rejected],
    ['a rejected client', { status: 400, body: '{"error":"invalid_client"}' }, rejected],
    ['a rejected user', { status: 400, body: '{"error":"invalid_grant"}' }, rejected],
    ['a rejected client with HTTP 200', { body: '{"error":"invalid_client"}' }, rejected],
    ['Afilnet’s own refusal', { body: '{"status":"ERROR","error":"INCORRECT_USER_PASSWORD"}' }, rejected],
    ['an unknown grant with HTTP 200', { body: '{"error":"unsupported_grant_type"}' }, mismatch],
    ['null', { body: 'null' }, unreachable],
    ['an unknown grant', { status: 400, body: '{"error":"unsupported_grant_type"}' }, mismatch],
    ['a wrong scope', { status: 400, body: '{"error":"invalid_scope"}' }, mismatch],
    ['a wrong path', { status: 404, body: page }, mismatch],
    ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:9/' } }, mismatch],
    ['a limit', { status: 429, headers: { 'retry-after': '7' } }, { ...unreachable, code: 'upstream-rate-limited' }],
  ])('but %s, a send does not leave', async ([, answer, expected], { gateway, sandbox }) => {
    sandbox.answer({ method: 'token', times: 3, ...answer })

    expect(problem(await sendmessage(gateway))).toEqual(expected)
    expect(sandbox.calls).toEqual([])
  })

  test('because of a rate limit, a call gets the Retry-After of the token endpoint', async ({ gateway, sandbox }) => {
    sandbox.answer({ method: 'token', status: 429, headers: { 'retry-after': '7' } })

    expect((await sendmessage(gateway)).headers['retry-after']).toBe('7')
  })

  test('because the secret is wrong, the account pauses after one request, until it is reloaded with another', async ({
    start,
    sandbox,
  }) => {
    const gateway = await start(json(sandbox, { AFILNET_CLIENT_SECRET: 'fake-wrong-client-secret' }))

    const replies = [await sendmessage(gateway), await getmessages(gateway), await getchatchannels(gateway)]
    const asked = sandbox.oauth.requests.length
    await gateway.reload(readConfig({ ...environment(sandbox), ...transportEnvironment(sandbox, 'json') }))

    expect(replies.map(problem)).toEqual([rejected, rejected, rejected])
    expect(asked).toBe(1)
    expect((await getmessages(gateway)).status).toBe(200)
  })

  test('within the deadline, a call ends at it, its send does not leave later, and the next call gets a token', async ({
    start,
    sandbox,
  }) => {
    const gateway = await start(json(sandbox, { AFILNET_TIMEOUT_MS: '400' }))
    sandbox.answer({ method: 'token', fault: 'silent', times: 2 }) // the call that began last may have time for another

    const replies = await Promise.all([sendmessage(gateway), getmessages(gateway)])

    expect(replies.map(problem)).toEqual([unreachable, unreachable])
    expect(sandbox.calls).toEqual([])
    await expect.poll(async () => (await getmessages(gateway)).status).toBe(200)
    expect(sandbox.sent).toEqual([])
  })

  test('and without a server to ask, nothing leaves', async ({ start, sandbox }) => {
    const port = await listen(createServer((_, response) => response.socket?.destroy()))
    const gateway = await start(json(sandbox, { AFILNET_TOKEN_URL: `http://127.0.0.1:${port}/token` }))

    expect(problem(await sendmessage(gateway))).toEqual(unreachable)
    expect(sandbox.calls).toEqual([])
  })

  test('a caller that leaves does not take it from the others', async ({ gateway, sandbox }) => {
    const release = hold(sandbox, { method: 'token' })
    const socket = gateway.open()
    socket.write(`GET ${chat}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${canaries.key}\r\n\r\n`)
    await sandbox.until(({ oauth }) => oauth.requests.length === 1)

    const other = getchatchannels(gateway)
    socket.destroy()
    await gateway.logged(({ aborted }) => aborted === true)
    release()

    expect((await other).status).toBe(200)
    expect(sandbox.oauth.requests).toHaveLength(1)
  })
})

describe('The JSON call', () => {
  test.for(['body', 'path'])('has class and method in the %s', async (style, { start, sandbox }) => {
    const gateway = await start(json(sandbox, { AFILNET_JSON_STYLE: style }))

    expect((await sendmessage(gateway)).status).toBe(201)

    const [call] = sandbox.calls
    const own = '"platform":"whatsapp","platformid":"100","destination":"34600000000","message":"Hello"}'
    expect(call).toMatchObject(
      style === 'body'
        ? { httpMethod: 'POST', path: '/api/json/', body: `{"class":"chat","method":"sendmessage",${own}` }
        : { httpMethod: 'POST', path: '/api/json/chat/sendmessage', body: `{${own}` },
    )
    expect(call?.headers).toMatchObject({
      'content-type': 'application/json',
      authorization: 'Bearer <redacted>',
      'user-agent': expect.stringMatching(/^afilnet-gateway\/\d/),
    })
  })

  test('has class and method behind a path of either form', async ({ start, sandbox }) => {
    const gateway = await start(json(sandbox, { AFILNET_JSON_STYLE: 'path', AFILNET_URL: `${sandbox.url}/api/json` }))
    await sendmessage(gateway)

    expect(sandbox.calls).toMatchObject([{ path: '/api/json/chat/sendmessage' }])
  })
})
