// Counts what one warm request enters inside src/: functions, files, and moves from one file to another.
// Usage: npx node test/tools/call-path.ts [--list]
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Debugger, type Profiler, Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import { readConfig } from '../../src/config/config.ts'
import { startGateway } from '../../src/gateway.ts'
import { startSandbox } from '../../src/sandbox/app.ts'
import { createLogger } from '../../src/telemetry/log.ts'

type Entered = { name: string; file: string; scriptId: string; location: Debugger.Location }

const source = new URL('../../src/', import.meta.url).href
const key = 'fake_call_path_key_0123456789abcdef'
const chat = '/chats/whatsapp/100/34600000000/messages'
const path: number[] = []
Object.assign(globalThis, { callPath: path })

const sandbox = await startSandbox()
const config = readConfig({
  PORT: '0',
  ADMIN_PORT: '0',
  AFILNET_USER: sandbox.user,
  AFILNET_PASSWORD: 'fake-sandbox-password',
  AFILNET_URL: `${sandbox.url}/api/http/`,
  GATEWAY_KEY_SHA256: hash('sha256', key),
  STORE_URL: 'sqlite::memory:',
})
const gateway = await startGateway(config, createLogger('info', { write() {} }))
const session = new Session()
session.connect()
const scripts = new Map<string, string>()
session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params.url))
await session.post('Debugger.enable')
await session.post('Profiler.enable')

const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
const requests: Record<string, () => Promise<Response>> = {
  GET: () => fetch(gateway.url + chat, { headers }),
  POST: () => fetch(gateway.url + chat, { method: 'POST', headers, body: '{"message":"Hello"}' }),
}
for (const [method, request] of Object.entries(requests)) await report(method, request)
session.disconnect()
await gateway.drain()
await sandbox.close()

async function report(method: string, request: () => Promise<Response>) {
  for (let i = 0; i < 20; i++) await (await request()).text()
  const entered = await functionsEnteredBy(request)
  const breakpoints: string[] = []
  for (const [i, { location }] of entered.entries()) {
    // The condition is evaluated at each entry, and never true.
    const { breakpointId } = await session.post('Debugger.setBreakpoint', { location, condition: `(callPath.push(${i}), false)` })
    breakpoints.push(breakpointId)
  }
  let steps: number[] = []
  for (let i = 0; i < 10; i++) {
    path.length = 0
    await (await request()).text()
    await new Promise(resolve => setTimeout(resolve, 50)) // what runs after the answer belongs to the request too
    if (i === 0 || path.length < steps.length) steps = [...path] // a timer of the gateway may have run meanwhile
  }
  for (const breakpointId of breakpoints) await session.post('Debugger.removeBreakpoint', { breakpointId })
  const files = steps.map(i => entered[i]?.file ?? '')
  const moves = files.filter((file, i) => i > 0 && file !== files[i - 1]).length
  process.stdout.write(`${method}: ${new Set(steps).size} functions, ${new Set(files).size} files, ${moves} moves between files\n`)
  if (process.argv.includes('--list')) for (const i of steps) process.stdout.write(`  ${entered[i]?.file} ${entered[i]?.name}\n`)
}

/** Functions of the gateway that a request enters, each with the first place in it where V8 can stop. */
async function functionsEnteredBy(request: () => Promise<Response>): Promise<Entered[]> {
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  await session.post('Profiler.takePreciseCoverage')
  await (await request()).text()
  await new Promise(resolve => setTimeout(resolve, 50))
  const { result } = await session.post('Profiler.takePreciseCoverage')
  await session.post('Profiler.stopPreciseCoverage')
  const entered: Entered[] = []
  for (const { scriptId, url, functions } of result) {
    if (!url.startsWith(source) || url.includes('/sandbox/')) continue
    const text = readFileSync(fileURLToPath(url), 'utf8')
    for (const { functionName, ranges } of functions) {
      const [range] = ranges
      const location = range && range.count > 0 && (await firstLocation(scriptId, text, range))
      if (location) entered.push({ name: functionName || '(anonymous)', file: url.slice(source.length), scriptId, location })
    }
  }
  return entered
}

async function firstLocation(scriptId: string, text: string, { startOffset, endOffset }: Profiler.CoverageRange) {
  const at = (offset: number): Debugger.Location => {
    const lines = text.slice(0, offset).split('\n')
    return { scriptId, lineNumber: lines.length - 1, columnNumber: lines.at(-1)?.length ?? 0 }
  }
  const { locations } = await session.post('Debugger.getPossibleBreakpoints', {
    start: at(startOffset),
    end: at(endOffset),
    restrictToFunction: true,
  })
  return locations[0]
}
