import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { test, transportEnvironment } from './gateway.ts'
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
