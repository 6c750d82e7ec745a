import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { test, transportEnvironment } from './gateway.ts'
import { startProgram } from './program.ts'

/** What belongs to one transport only: packages, and our files. */
const special = /node_modules\/(oauth4webapi|soap|sax|axios)\/|src\/afilnet\/(json|soap)\//g

describe('A gateway that has started and made a call', () => {
  test.for(['post', 'json', 'soap'] as const)('has loaded nothing for other transports than %s', async (transport, { sandbox }) => {
    const folder = mkdtempSync(join(tmpdir(), 'gateway-modules-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const RECORD_MODULES = join(folder, 'modules')
    const env = { ...transportEnvironment(sandbox, transport), RECORD_MODULES, NODE_OPTIONS: '--import ./test/tools/record-modules.ts' }
    const gateway = await startProgram(sandbox, env)

    expect((await gateway.get('/channels')).status).toBe(200)

    const loaded = new Set(readFileSync(RECORD_MODULES, 'utf8').match(special))
    const expected = {
      post: [],
      json: ['node_modules/oauth4webapi/', 'src/afilnet/json/'],
      soap: ['node_modules/axios/', 'node_modules/sax/', 'node_modules/soap/', 'src/afilnet/soap/'],
    }
    expect([...loaded].sort()).toEqual(expected[transport])
  })
})
