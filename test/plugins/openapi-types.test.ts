import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const generator = join(root, 'test/tools/generators/node_modules/openapi-typescript/bin/cli.js')

const program = `import type { components, paths } from './api.d.ts'

type Get<Path extends keyof paths> = paths[Path]['get'] extends { responses: { 200: { content: { 'application/json': infer Body } } } } ? Body : never
type Chats = '/chats/{platform}/{platformId}'
declare function listChannels(): Get<'/channels'>
declare function listChats(path: paths[Chats]['get']['parameters']['path']): Get<Chats>
for (const { platform, platformId } of listChannels().items) listChats({ platform, platformId }).items.map(({ message }) => message ?? '')

type Send = paths['/chats/{platform}/{platformId}/{destination}/messages']['post']
export const header: Send['parameters']['header'] = { 'Idempotency-Key': 'order-4711-shipped' }
export const body: components['schemas']['NewMessage'] = { message: 'Hello' }
export const laterCode: components['schemas']['Problem']['code'] = 'a-code-of-tomorrow'
`

test.skipIf(!existsSync(generator))(
  'the types that openapi-typescript makes of the API document fit together (needs npm ci --prefix test/tools/generators)',
  () => {
    const folder = mkdtempSync(join(root, 'node_modules/.types-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const run = (...command: string[]) => spawnSync(process.execPath, command, { cwd: folder, encoding: 'utf8' })
    writeFileSync(join(folder, 'loop.ts'), program)

    const generated = run(generator, join(root, 'openapi/openapi.json'), '-o', 'api.d.ts')
    const flags = ['--strict', '--noEmit', '--allowImportingTsExtensions', '--module', 'nodenext', '--types', '', '--ignoreConfig']
    const checked = run(join(root, 'node_modules/typescript/bin/tsc'), ...flags, 'loop.ts')

    expect(generated.status, generated.stderr).toBe(0)
    expect(checked.status, checked.stdout).toBe(0)
  },
)
