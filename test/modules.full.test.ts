import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'undici'
import { describe, expect, onTestFinished } from 'vitest'
import { canaries, test, transportEnvironment } from './gateway.ts'
import { startProgram } from './program.ts'

/** What most gateways have no use for: packages, and our files. OpenTelemetry's API is small, and prom-client loads it. */
const special =
  /node_modules\/(oauth4webapi|soap|sax|axios|ioredis|jose|@aws-sdk|@modelcontextprotocol|@opentelemetry(?!\/api\/)|@fastify\/(swagger-ui|static|otel)|file-type|standardwebhooks)\/|src\/(afilnet\/(json|soap)|store\/valkey|tokens|mcp|cli\/doctor)\//g

describe('A gateway that has started and made a call', () => {
  test.for(['post', 'json', 'soap'] as const)(
    'has loaded nothing that it has no use for, with the transport %s',
    async (transport, { sandbox }) => {
      const folder = mkdtempSync(join(tmpdir(), 'gateway-modules-'))
      onTestFinished(() => rmSync(folder, { recursive: true }))
      const RECORD_MODULES = join(folder, 'modules')
      const env = { ...transportEnvironment(sandbox, transport), RECORD_MODULES, NODE_OPTIONS: '--import ./test/tools/record-modules.ts' }
      const gateway = await startProgram(sandbox, env)

      expect((await gateway.get('/channels')).status).toBe(200)

      const loaded = () => [...new Set(readFileSync(RECORD_MODULES, 'utf8').match(special))].sort()
      const expected = {
        post: [],
        json: ['node_modules/oauth4webapi/', 'src/afilnet/json/'],
        soap: ['node_modules/axios/', 'node_modules/sax/', 'node_modules/soap/', 'src/afilnet/soap/'],
      }
      expect(loaded()).toEqual(expected[transport])

      expect((await gateway.get('/docs/json')).status).toBe(200)
      expect(loaded()).toContain('node_modules/@fastify/swagger-ui/')
    },
  )
})

describe('A part that could not be loaded, since too many files were open', () => {
  test('is loaded with the next request', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox)
    const allow = (files: number | string) => execFileSync('prlimit', [`--pid=${gateway.pid}`, `--nofile=${files}:`])
    const client = new Client(gateway.url) // one connection: the gateway could accept no other
    onTestFinished(() => client.destroy())
    async function ask(method: 'GET' | 'POST', path: string, body: string | null = null) {
      const headers = { authorization: `Bearer ${canaries.key}`, ...(body !== null && { 'content-type': 'application/json' }) }
      const answer = await client.request({ method, path, headers, body })
      await answer.body.dump()
      return answer.statusCode
    }
    const token = JSON.stringify({
      chat: { platform: 'whatsapp', platformId: '100', destination: '34600000000' },
      scopes: ['messages:read'],
    })
    const parts = async () => [await ask('GET', '/docs/json'), await ask('POST', '/tokens', token)]
    await ask('GET', '/health/live')

    const open = new Set(readdirSync(`/proc/${gateway.pid}/fd`).map(Number))
    allow(Array.from({ length: 1_024 }, (_, number) => number).find(number => !open.has(number)) ?? 0) // the limit is one of numbers
    expect(await parts()).toEqual([500, 500])

    allow(1_024)
    expect(await parts()).toEqual([200, 201])
  })
})
