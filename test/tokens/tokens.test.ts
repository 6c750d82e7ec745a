import { createSecretKey, hkdfSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { SignJWT } from 'jose'
import { describe, expect, test as plain } from 'vitest'
import type { Scope } from '../../src/access.ts'
import { createTokens } from '../../src/tokens/tokens.ts'
import { sharedTest as test } from '../gateway.ts'
import { issue, messages, sayWith, told } from './issuing.ts'

const partsOf = (token: string) => token.split('.') as [header: string, payload: string, signature: string]
const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('A token', () => {
  test('is a JWT of its own type that says nothing of the key', async ({ gateway }) => {
    const token = await issue(gateway, { actor: 'alice' })

    const [header, payload] = partsOf(token).slice(0, 2).map(decode)
    expect(header).toEqual({ alg: 'HS256', typ: 'afilnet-gateway-token+jwt' })
    expect(payload).toEqual({
      jti: expect.any(String),
      exp: expect.any(Number),
      key: expect.stringMatching(/^[\w-]{22}$/),
      account: expect.any(String),
      chat: ['whatsapp', '100', '34600000000'],
      scope: 'messages:read messages:send files:send',
      actor: 'alice',
    })
  })

  test('is worth nothing with any part of it changed', async ({ gateway, sandbox }) => {
    const token = await issue(gateway, { actor: 'alice' })
    const [header, payload, signature] = partsOf(token)
    const [head, claims] = [decode(header), decode(payload)]
    const others = [
      ...Object.entries({ ...claims, jti: 'x', exp: claims.exp + 1, key: 'x'.repeat(22), account: 'other', actor: 'bob' }).map(
        ([name, value]) => `${header}.${encode({ ...claims, [name]: value })}.${signature}`,
      ),
      ...['chat', 'scope'].map(name => `${header}.${encode({ ...claims, [name]: [claims[name]].flat().slice(1) })}.${signature}`),
      ...Object.keys(claims).map(name => `${header}.${encode({ ...claims, [name]: undefined })}.${signature}`),
      ...[
        { alg: 'none' },
        { alg: 'HS512' },
        { alg: 'RS256' },
        { typ: 'JWT' },
        { crit: ['exp'] },
        { kid: '../../dev/null' },
        { b64: false },
      ].map(change => `${encode({ ...head, ...change })}.${payload}.${signature}`),
      `${encode({ alg: 'none', typ: head.typ })}.${payload}.`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}..${signature}`,
      `.${payload}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -1)}`,
      `${header}.${payload}.${signature}A`,
      `${header}.${payload}.${signature}.x.x`,
      ...[...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
        .filter(last => last !== signature.at(-1))
        .map(last => `${header}.${payload}.${signature.slice(0, -1)}${last}`),
    ].filter(other => other !== token)

    for (const other of others) expect(told(await gateway.request(messages, { key: other })), other).toEqual([401, 'unauthenticated'])
    expect(sandbox.calls).toEqual([])
    expect((await gateway.request(messages, { key: token })).status).toBe(200)
  })
})

describe('Tokens', () => {
  const secret = createSecretKey(randomBytes(32))
  const digests = new Map([['0'.repeat(64), 'a key']])
  const [digest = ''] = digests.keys()
  const chat = { platform: 'whatsapp', platformId: '100', destination: '*' }
  const claims = { account: 'main', chat, scopes: ['messages:read'] as Scope[], actor: 'José', expiresAt: 3_600_000 }
  const at = (seconds: number, readSecret = async () => secret) => createTokens({ readSecret, now: () => seconds * 1_000 })

  plain('carry what they were made of, until their last whole second', async () => {
    const token = await at(0).issue({ ...claims, expiresAt: claims.expiresAt + 999 }, digest)

    expect(await at(3_599).open(token, digests)).toEqual({ claims: { ...claims, id: expect.any(String) }, keySha256: digest })
    expect(await at(3_600).open(token, digests)).toEqual({ issue: 'The token has expired.' })
  })

  plain('are not valid while they would be for longer than any that is issued now: a clock was ahead', async () => {
    const token = await at(86_400).issue({ ...claims, expiresAt: 90_000_000 }, digest)

    expect(await at(82_799).open(token, digests)).toEqual({ issue: 'The token was issued while a clock was wrong.' })
    expect(await at(82_800).open(token, digests)).toMatchObject({ keySha256: digest })
  })

  plain('are those of no other key, and of no other secret', async () => {
    const token = await at(0).issue(claims, digest)
    const another = async () => createSecretKey(randomBytes(32))

    expect(await at(0).open(token, new Map([['1'.repeat(64), '']]))).toEqual({
      issue: 'The key that issued this token is no longer valid.',
    })
    expect(await at(0, another).open(token, digests)).toEqual({ issue: 'The token is not valid.' })
    const [here, there] = [token, await at(0, another).issue(claims, digest)].map(one => decode(partsOf(one)[1]).key)
    expect(here, 'nobody can try keys without the secret').not.toBe(there)
  })

  plain('are not signed by the secret itself, which keys other things', async () => {
    const [, payload] = partsOf(await at(0).issue(claims, digest))
    const header = { alg: 'HS256', typ: 'afilnet-gateway-token+jwt' }
    const forged = await new SignJWT(decode(payload)).setProtectedHeader(header).sign(secret)

    expect(await at(0).open(forged, digests)).toEqual({ issue: 'The token is not valid.' })
  })

  plain.for([
    ['of another type', { typ: 'JWT' }, {}],
    ['without an id', {}, { jti: undefined }],
    ['without an end', {}, { exp: undefined }],
  ] as const)('are none of those %s, even under their own key', async ([, header, change]) => {
    const [own, payload] = partsOf(await at(0).issue(claims, digest)).map(part => part)
    const key = new Uint8Array(hkdfSync('sha256', secret, '', 'afilnet-gateway tokens 1', 32))
    const sign = (header: object, payload: object) => new SignJWT({ ...payload }).setProtectedHeader({ alg: 'HS256', ...header }).sign(key)
    const [head, body] = [decode(own ?? ''), decode(payload ?? '')]

    expect(await at(0).open(await sign(head, body), digests)).toHaveProperty('claims')
    expect(await at(0).open(await sign({ ...head, ...header }, { ...body, ...change }), digests)).toEqual({
      issue: 'The token is not valid.',
    })
  })

  plain('follow a secret that becomes another one', async () => {
    let current = secret
    const tokens = at(0, async () => current)
    const token = await tokens.issue(claims, digest)
    current = createSecretKey(randomBytes(32))

    expect(await tokens.open(token, digests)).toEqual({ issue: 'The token is not valid.' })
    expect(await tokens.open(await tokens.issue(claims, digest), digests)).toHaveProperty('claims')
  })
})

test('a token that may only read cannot cancel what its actor has sent, and the answer says why', async ({ gateway }) => {
  const { json } = await sayWith(gateway, await issue(gateway), 'k')
  const key = await issue(gateway, { scopes: ['messages:read'] })

  expect(await gateway.request(`/sends/${json.id}`, { method: 'DELETE', key })).toMatchObject({
    status: 403,
    json: { code: 'insufficient-scope', detail: 'This token lacks the scope messages:send.' },
  })
})

test('a token neither settles nor cancels what another actor, or another chat, has sent', async ({ start, sandbox }) => {
  const gateway = await start({ env: { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') } })
  const alice = await issue(gateway, { actor: 'alice' })
  const as = (key: string, method: string, path: string, body: object) =>
    gateway.request(path, { method, key, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  sandbox.answer({ fault: 'drop' })
  const unknown = (await as(alice, 'POST', messages, { message: 'Hello' })).json.sendId
  const queued = (await as(alice, 'POST', messages, { message: 'Later', sendAt: new Date(Date.now() + 3_600_000).toISOString() })).json.id
  const others = [
    await issue(gateway, { actor: 'bob' }),
    await issue(gateway),
    await issue(gateway, { actor: 'alice', chat: { platform: 'whatsapp', platformId: '100', destination: '34600000001' } }),
  ]

  for (const other of others) {
    expect(told(await as(other, 'POST', `/sends/${unknown}/settle`, { state: 'not_sent' }))).toEqual([404, 'send-not-found'])
    expect(told(await as(other, 'DELETE', `/sends/${queued}`, {}))).toEqual([404, 'send-not-found'])
  }
  expect((await gateway.get(`/sends/${queued}`)).json.state).toBe('queued')
  expect((await as(alice, 'DELETE', `/sends/${queued}`, {})).json.state).toBe('canceled')
  expect((await as(alice, 'POST', `/sends/${unknown}/settle`, { state: 'not_sent' })).json.state).toBe('not_sent')
})

test('a caller that leaves while its token is read keeps no call to Afilnet', async ({ start, sandbox }) => {
  const gateway = await start({ env: { AFILNET_TIMEOUT_MS: '60000' } })
  const token = await issue(gateway)
  sandbox.answer({ fault: 'silent', times: 1_000 })
  const leaveAfter = (turns: number, socket: Socket): unknown =>
    turns > 0 ? setImmediate(leaveAfter, turns - 1, socket) : socket.resetAndDestroy()
  for (let turns = 0; turns < 40; turns++) {
    const socket = gateway.open()
    socket.write(`GET ${messages} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    socket.once('connect', () => leaveAfter(turns, socket))
    await once(socket, 'close')
  }

  const open = () => sandbox.calls.filter(({ closedByPeer }) => !closedByPeer)
  await expect.poll(open).toEqual([])
})
