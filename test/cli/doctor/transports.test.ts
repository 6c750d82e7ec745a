import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { nameless } from '../../afilnet/listeners.ts'
import { transportEnvironment } from '../../gateway.ts'
import { everyRead, methodsOf, test } from './doctor.ts'

describe('the transport json', () => {
  test('is examined with a token, whose lifetime is told', async ({ examine, sandbox }) => {
    const { named, code } = await examine({ env: transportEnvironment(sandbox, 'json') })

    expect(code).toBe(0)
    expect(named('transport')).toMatchObject([
      { verdict: 'note', detail: expect.stringContaining('never tested against the real Afilnet') },
    ])
    expect(named('token')).toMatchObject([
      { verdict: 'ok', detail: expect.stringContaining('valid for 3600 s'), facts: { lifetimeS: 3_600 } },
    ])
    expect(methodsOf(sandbox)).toEqual(everyRead)
    expect(sandbox.oauth.requests).toHaveLength(1)
  })

  test('may have a token without a lifetime', async ({ examine, sandbox }) => {
    sandbox.oauth.expiresInS = undefined
    const { named } = await examine({ env: transportEnvironment(sandbox, 'json') })

    expect(named('token')).toMatchObject([{ verdict: 'ok', detail: expect.stringContaining('without a lifetime') }])
  })

  test('says why there is no token, and asks once', async ({ examine, sandbox }) => {
    const env = { ...transportEnvironment(sandbox, 'json'), AFILNET_CLIENT_SECRET: 'cn1-wrong' }
    const { named, wrong } = await examine({ env })

    expect(wrong).toEqual(['token', 'getchatchannels'])
    expect(named('token')).toMatchObject([
      { verdict: 'broken', detail: expect.stringContaining('(HTTP 401, invalid_client)'), todo: expect.stringContaining('client id') },
    ])
    expect(sandbox.oauth.requests).toHaveLength(1)
    expect(sandbox.calls).toEqual([])
  })

  test('may get its tokens from a server that has no address', async ({ examine, sandbox }) => {
    const { wrong } = await examine({ env: { ...transportEnvironment(sandbox, 'json'), AFILNET_TOKEN_URL: `https://${nameless}/token` } })

    expect(wrong).toEqual(['DNS', 'token', 'getchatchannels'])
  })
})

describe('the transport soap', () => {
  test.for(['structure', 'map', 'json'] as const)(
    'is examined with what the WSDL offers, and answers as a %s',
    async (soap, { examine, sandbox }) => {
      sandbox.shape({ soap })
      const { named, code, checks } = await examine({ env: transportEnvironment(sandbox, 'soap') })

      expect(code, JSON.stringify(checks)).toBe(0)
      expect(named('transport')).toMatchObject([{ verdict: 'note' }])
      expect(named('WSDL')).toMatchObject([
        {
          verdict: 'ok',
          detail: expect.stringMatching(
            /sendmessage\(user, password, platform, platformid, destination, message\).*; user and password are parameters$/,
          ),
          facts: { operations: { getchats: { name: 'getchats', parts: ['user', 'password', 'platform', 'platformid'] } } },
        },
      ])
      expect(named('status')).toMatchObject([{ verdict: 'ok' }])
      expect(methodsOf(sandbox)).toEqual(everyRead)
    },
  )

  test('may have its WSDL in a file', async ({ dir, examine, sandbox }) => {
    const { AFILNET_WSDL: url = '', ...env } = transportEnvironment(sandbox, 'soap')
    const path = join(dir, 'chat.wsdl')
    writeFileSync(path, await (await fetch(url)).text())
    const { named, wrong } = await examine({ env: { ...env, AFILNET_WSDL: path } })

    expect(wrong).toEqual(['media-not-public'])
    expect(named('WSDL')).toMatchObject([{ verdict: 'ok' }])
  })

  test('says what is wrong with the WSDL', async ({ examine, sandbox }) => {
    const { named, wrong } = await examine({ env: { ...transportEnvironment(sandbox, 'soap'), AFILNET_WSDL: `${sandbox.url}/nothing` } })
    const unreachable = await examine({ env: { ...transportEnvironment(sandbox, 'soap'), AFILNET_WSDL: 'http://127.0.0.1:1/?wsdl' } })

    expect(wrong).toEqual(['WSDL'])
    expect(named('WSDL')).toMatchObject([
      {
        verdict: 'broken',
        detail: 'account default: the WSDL cannot be fetched: HTTP 404',
        todo: expect.stringMatching(/^Correct AFILNET_WSDL/),
      },
    ])
    expect(unreachable.named('WSDL')).toMatchObject([{ verdict: 'broken', todo: expect.stringMatching(/^Check the lines of the network/) }])
    expect(sandbox.calls).toEqual([])
  })
})
