import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { destinations } from './answers.ts'
import { type Endpoint, requestFor } from './endpoint.ts'
import { type Core, freePort, type Program, start } from './programs.ts'
import type { Start, Target } from './targets.ts'

/** Where everything goes that a run writes; git does not look at it. */
export const outFolder = join(import.meta.dirname, 'out')

/** Afilnet's place. */
export type Stub = {
  program: Program
  url: URL
  /** The calls that it got, and how many of them were not as Afilnet wants them. */
  counts(): Promise<{ calls: number; wrong: number; polls: Record<string, number> }>
  /** Tells it something, or asks it. */
  get(path: string): Promise<unknown>
}

/** A program that answers at an endpoint, in a folder of its own. */
export type RunningTarget = {
  endpoint: Endpoint
  program: Program
  folder: string
  /** Starts another one beside it, always with the same ledger unless `env` names another. */
  restart(options?: Restart): Promise<Opened>
}

/** What is different where a target starts again; what it writes to stdout goes to `output`, if that names a file. */
export type Restart = Pick<Start, 'nodeFlags' | 'output' | 'features' | 'entry'>

/** A program that has answered its first request, so many milliseconds after its start. */
export type Opened = { endpoint: Endpoint; program: Program; startedMs: number }

export async function startStub(): Promise<Stub> {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const program = start('loader', [process.execPath, join(import.meta.dirname, 'stub.ts'), String(port)])
  const get = async (path: string) => (await request(origin + path)).body.json()
  const counts = () => get('/counts') as ReturnType<Stub['counts']> // it is ours
  await untilAnswered(program, counts)
  return { program, url: new URL('/api/http/', origin), counts, get }
}

/** The stub without a target before it. */
export const direct = ({ program, url }: Stub): RunningTarget => ({
  endpoint: { url, direct: true },
  program,
  folder: newFolder(),
  restart: () => Promise.reject(new Error('there is nothing to start')),
})

/** Starts a target and waits for its first answer. */
export async function startTarget(
  target: Target,
  upstream: URL,
  nodeFlags: readonly string[] = [],
  core: Core = 'target',
): Promise<RunningTarget> {
  const folder = newFolder()
  const again = join(folder, 'again')
  mkdirSync(again)
  return {
    ...(await open(target, { upstream, folder, nodeFlags, core })),
    folder,
    restart: options => open(target, { upstream, folder: again, nodeFlags, ...options }),
  }
}

async function open(target: Target, options: Omit<Start, 'port'>): Promise<Opened> {
  const port = await freePort()
  const endpoint = { url: new URL(`http://127.0.0.1:${port}/`), direct: false }
  const { path, headers } = requestFor({ destination: destinations('steady', 1)[0] ?? '' }, endpoint)
  const startedAt = performance.now()
  const program = target.start({ port, ...options })
  await untilAnswered(program, async () => {
    const { statusCode, body } = await request(new URL(path, endpoint.url), { headers })
    await body.dump()
    if (statusCode !== 200) throw new Error(`it answered its first request with ${statusCode}`)
  })
  return { endpoint, program, startedMs: performance.now() - startedAt }
}

const runFolder = join(outFolder, String(process.pid))
process.on('exit', () => rmSync(runFolder, { recursive: true, force: true }))
let folders = 0

/** A folder that is removed when this process ends. */
export function newFolder() {
  const folder = join(runFolder, String(++folders))
  mkdirSync(folder, { recursive: true })
  return folder
}

/** Asks until there is an answer; stops the program and rejects if there is none in 30 s. */
export async function untilAnswered(program: Program, ask: () => Promise<unknown>) {
  const deadline = Date.now() + 30_000
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (program.ended() || Date.now() > deadline) {
        await program.stop()
        throw new Error('it did not start', { cause: error })
      }
      await sleep(1)
    }
  }
}
