import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished } from 'vitest'
import { canaries, test } from '../gateway.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** What a stranger writes after `npm install`: sends, handles a problem, listens. */
const program = `import { createClient, GatewayProblem } from '@afilnet-gateway/client'

const gateway = createClient({ baseUrl: process.env.GATEWAY ?? '', key: process.env.KEY ?? '' })
const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
const send = await gateway.send(chat, { message: 'Your order has shipped' })
console.log(send.state)
try {
  await gateway.send({ ...chat, destination: 'NO_ROUTE_AVAILABLE' }, { message: 'Hello' })
} catch (error) {
  if (!(error instanceof GatewayProblem)) throw error
  console.log(error.code, error.outcome, error.retry)
}
for await (const { type, direction, message } of gateway.events({ ...chat, after: process.env.AFTER ?? '' })) {
  console.log(type, direction, message?.message)
  if (type === 'message.created') break
}
`

describe('The packed client', { timeout: 240_000 }, () => {
  test('installs, type-checks and runs in an empty project (needs the npm registry)', async ({ start, sandbox }) => {
    const folder = await mkdtemp(join(tmpdir(), 'client-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: join(root, 'client') })
    const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
    await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }')
    await writeFile(join(folder, 'program.ts'), program)
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${filename}`], { cwd: folder })
    const types = join(root, 'node_modules/@types')
    const flags = [
      '--strict',
      '--noEmit',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--typeRoots',
      types,
      '--types',
      'node',
      '--ignoreConfig',
    ]
    const checked = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...flags, 'program.ts'], { cwd: folder })

    const gateway = await start({ env: { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' } })
    const looks = (calls: typeof sandbox.calls) => calls.filter(({ params }) => params.some(([, value]) => value === 'getchats')).length
    await sandbox.until(({ calls }) => looks(calls) > 1, 40_000)
    sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Thank you' })
    await expect.poll(async () => (await gateway.get('/events?limit=1')).json.items.length).toBe(1)
    const env = {
      PATH: process.env.PATH,
      GATEWAY: gateway.url,
      KEY: canaries.key,
      AFTER: (await gateway.get('/events?limit=1')).json.nextCursor,
    }
    sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'And again' })
    const { stdout } = await run(process.execPath, ['program.ts'], { cwd: folder, env })

    expect(files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['README.md', 'dist/client.js', 'dist/client.d.ts', 'dist/api.d.ts']),
    )
    expect(files.filter(({ path }) => path.startsWith('src/'))).toEqual([])
    expect(checked.stdout).toBe('')
    expect(stdout.split('\n').slice(0, 2)).toEqual(['accepted', 'destination-unroutable not_applied no'])
    expect(stdout.trim().split('\n').at(-1)).toMatch(/^message.created (in And again|out Your order has shipped)$/)
  })
})
