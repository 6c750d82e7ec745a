import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished } from 'vitest'
import { canaries, test } from '../gateway.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** The program of the README: it sends, handles a problem and listens. */
const program = readFileSync(join(root, 'client/README.md'), 'utf8').split('```ts\n')[1]?.split('```')[0] ?? ''

/** Runs a program until the end of the test; what it has written so far. */
function output(name: string, cwd: string) {
  const child = spawn(process.execPath, [name], { cwd, env: { PATH: process.env.PATH, GATEWAY_KEY: canaries.key } })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      said += chunk
    })
  return () => said
}

describe('The packed client', () => {
  test('installs, type-checks and runs in an empty project (needs the npm registry)', async ({ start, sandbox }) => {
    const folder = await mkdtemp(join(tmpdir(), 'client-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: join(root, 'client') })
    const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
    await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }')
    await writeFile(join(folder, 'program.ts'), program)
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${filename}`], { cwd: folder })
    const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024']
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node', '--ignoreConfig']
    const checked = await run(process.execPath, [...tsc, ...types, 'program.ts'], { cwd: folder })
    const { main, types: mainTypes } = JSON.parse(await readFile(join(folder, 'node_modules/@afilnet-gateway/client/package.json'), 'utf8'))

    const gateway = await start({ env: { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' } })
    const looks = (calls: typeof sandbox.calls) => calls.filter(({ params }) => params.some(([, value]) => value === 'getchats')).length
    await sandbox.until(({ calls }) => looks(calls) > 1)
    const adapted = program.replace('https://gateway.example.com', gateway.url)
    await writeFile(join(folder, 'program.ts'), adapted)
    await writeFile(join(folder, 'refused.ts'), adapted.replace('34600000000', 'NO_ROUTE_AVAILABLE'))
    const [said, refused] = ['program.ts', 'refused.ts'].map(name => output(name, folder))
    await expect.poll(() => said?.()).toMatch(/^[0-9a-f-]{36} accepted$/m)
    const hear = () => {
      sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message: 'Thank you' })
      return said?.()
    }
    await expect.poll(hear, { interval: 1_000 }).toMatch(/^in Thank you$/m)
    await expect.poll(() => refused?.()).toMatch(/^destination-unroutable not_applied no [0-9a-f]{32}$/m)

    expect(files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['LICENSE', 'README.md', 'dist/client.js', 'dist/client.d.ts', 'dist/api.d.ts']),
    )
    expect([main, mainTypes]).toEqual(['./dist/client.js', './dist/client.d.ts']) // for tools that know no `exports`
    expect(files.filter(({ path }) => path.startsWith('src/'))).toEqual([])
    expect(checked.stdout).toBe('')
    expect(program.trim().split('\n')).toHaveLength(15)
  })
})
