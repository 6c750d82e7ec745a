import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const generators = join(root, 'test/tools/generators/node_modules')

/** Each generator's command, and a program that passes what an answer has on to the next request. */
const programs = [
  {
    name: 'openapi-typescript',
    command: ['openapi-typescript/bin/cli.js', join(root, 'openapi/openapi.json'), '-o', 'api.d.ts'],
    program: `import type { components, paths } from './api.d.ts'

type Get<Path extends keyof paths> = paths[Path]['get'] extends { responses: { 200: { content: { 'application/json': infer Body } } } } ? Body : never
type Chats = '/chats/{platform}/{platformId}'
declare function listChannels(): Get<'/channels'>
declare function listChats(path: paths[Chats]['get']['parameters']['path']): Get<Chats>
for (const { platform, platformId } of listChannels().items) listChats({ platform, platformId }).items.map(({ message }) => message ?? '')

type Send = paths['/chats/{platform}/{platformId}/{destination}/messages']['post']
export const header: Send['parameters']['header'] = { 'Idempotency-Key': 'order-4711-shipped' }
export const body: components['schemas']['NewMessage'] = { message: 'Hello' }
export const laterCode: components['schemas']['Problem']['code'] = 'a-code-of-tomorrow'
export const laterKind: components['schemas']['Send']['kind'] = 'a-kind-of-tomorrow'
`,
  },
  {
    name: 'Hey API',
    command: ['@hey-api/openapi-ts/bin/run.js', '-i', join(root, 'openapi/openapi.json'), '-o', 'api', '--no-log-file'],
    program: `import { listChannels, listChats, redriveWebhook, sendMessage } from './api/sdk.gen'

for (const { platform, platformId } of (await listChannels({ throwOnError: true })).data.items) {
  const { data } = await listChats({ path: { platform, platformId }, throwOnError: true })
  for (const { destination } of data.items)
    if (destination)
      await sendMessage({ path: { platform, platformId, destination }, headers: { 'Idempotency-Key': 'k' }, body: { message: 'Hello' } })
}
await redriveWebhook({ path: { name: 'crm' }, body: { failed: true } })
`,
  },
]

test.skipIf(!existsSync(generators)).for(programs)(
  'what $name makes of the API document fits together (needs npm ci --prefix test/tools/generators)',
  ({ command: [generator = '', ...options], program }) => {
    const folder = mkdtempSync(join(root, 'node_modules/.types-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const run = (...command: string[]) => spawnSync(process.execPath, command, { cwd: folder, encoding: 'utf8' })
    writeFileSync(join(folder, 'loop.ts'), program)

    const generated = run(join(generators, generator), ...options)
    const flags = [
      '--strict',
      '--noEmit',
      '--allowImportingTsExtensions',
      '--module',
      'esnext',
      '--moduleResolution',
      'bundler',
      '--types',
      '',
    ]
    const checked = run(join(root, 'node_modules/typescript/bin/tsc'), ...flags, '--ignoreConfig', 'loop.ts')

    expect(generated.status, generated.stderr).toBe(0)
    expect(checked.status, checked.stdout).toBe(0)
  },
)
