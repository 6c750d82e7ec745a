import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Case } from './case.ts'
import { cases } from './cases.ts'
import { load } from './load.ts'
import { has, leaveOnSignals, pinMyself } from './programs.ts'
import { outFolder, startStub, startTarget } from './setup.ts'
import { targets } from './targets.ts'

// A flame graph of this gateway in one case, as pages that need neither a network nor a server.

const { positionals, values } = parseArgs({ allowPositionals: true, options: { seconds: { type: 'string', default: '10' } } })
const say = (text: string) => process.stderr.write(`${text}\n`)
leaveOnSignals()
process.exitCode = await main(positionals[0] ?? 'get-different')

async function main(name: string) {
  const known = Object.entries<Case>(cases).filter(([, { connections }]) => connections !== undefined)
  const [, profiled] = known.find(([known]) => known === name) ?? []
  if (!profiled?.connections) {
    say(`There is no such case to profile, only ${known.map(([name]) => name).join(', ')}`)
    return 1
  }
  if (!has('wrk')) {
    say('wrk is missing (Debian: apt-get install wrk)')
    return 1
  }
  const folder = join(outFolder, 'profile')
  const recorded = join(folder, name)
  rmSync(recorded, { recursive: true, force: true })
  mkdirSync(recorded, { recursive: true })

  pinMyself()
  const stub = await startStub()
  const flags = ['--cpu-prof', `--cpu-prof-dir=${recorded}`, '--cpu-prof-interval=500']
  const gateway = await startTarget(targets.gateway, stub.url, flags)
  const { asks, connections } = profiled
  const { requests, seconds } = await load(gateway.endpoint, { asks, connections, seconds: Number(values.seconds), folder: gateway.folder })
  await gateway.program.stop() // Node writes what it has recorded when it ends
  await stub.program.stop()

  say(`${profiled.title}: ${requests} requests in ${seconds.toFixed(1)} s. Open in a browser:`)
  for (const file of readdirSync(recorded)) {
    const thread = Number(file.split('.')[4]) // CPU.<date>.<time>.<process>.<thread>.<number>.cpuprofile; 0 is the main one, the ledger has another
    const page = join(folder, `${name}${thread === 0 ? '' : `-thread-${thread}`}.html`)
    writeFileSync(page, pageOf(`${name}.cpuprofile`, readFileSync(join(recorded, file))))
    process.stdout.write(`${page}\n`)
  }
  return 0
}

/** speedscope's own release with the profile in it, all in one page. */
function pageOf(title: string, profile: Buffer) {
  const release = join(import.meta.dirname, '../node_modules/speedscope/dist/release')
  const part = (ending: RegExp) => readFileSync(join(release, readdirSync(release).find(name => ending.test(name)) ?? ''), 'utf8')
  // It offers its loader only to a page that is asked for a local profile.
  const feed = `
    Object.defineProperty(window, 'speedscope', { set: ({ loadFileFromBase64 }) => loadFileFromBase64('${title}', '${profile.toString('base64')}') })
    location.hash = 'localProfilePath=none&title=${title}&view=left-heavy'`
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title><style>${part(/^speedscope-\w+\.css$/)}</style></head>
<body><script>${feed}</script><script>${part(/^speedscope-\w+\.js$/)}</script></body>
</html>
`
}
