import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { destinations } from './answers.ts'
import { freePort, type Program, start } from './programs.ts'
import { requestFor, type Target } from './target.ts'
import type { Contestant } from './targets.ts'

/** Where everything goes that a run writes; git does not look at it. */
export const outFolder = join(import.meta.dirname, 'out')

/** Afilnet's place. */
export type Stub = {
  program: Program
  url: URL
  /** The calls that it got, and how many of them were not as Afilnet wants them. */
  counts(): Promise<{ calls: number; wrong: number }>
}

/** Whoever answers at a target, in a folder of its own. */
export type Performer = {
  target: Target
  program: Program
  folder: string
  /** Starts another one beside it, always with the same ledger, for the milliseconds until its first answer. */
  restart(): Promise<number>
}

export async function startStub(): Promise<Stub> {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const program = start('loader', [process.execPath, join(import.meta.dirname, 'stub.ts'), String(port)])
  const counts = async () => (await (await request(`${origin}/counts`)).body.json()) as { calls: number; wrong: number } // it is ours
  await untilAnswered(program, counts)
  return { program, url: new URL('/api/http/', origin), counts }
}

/** Nobody between the loader and the stub. */
export const nobody = ({ program, url }: Stub): Performer => ({
  target: { url, straight: true },
  program,
  folder: newFolder(),
  restart: async () => Number.NaN,
})

/** Starts a contestant and waits for its first answer. */
export async function enter(contestant: Contestant, upstream: URL, nodeFlags: readonly string[] = []): Promise<Performer> {
  const folder = newFolder()
  const again = join(folder, 'again')
  mkdirSync(again)
  return {
    ...(await open(contestant, upstream, folder, nodeFlags)),
    folder,
    restart: async () => {
      const { program, startedMs } = await open(contestant, upstream, again, nodeFlags)
      await program.stop()
      return startedMs
    },
  }
}

async function open(contestant: Contestant, upstream: URL, folder: string, nodeFlags: readonly string[]) {
  const port = await freePort()
  const target = { url: new URL(`http://127.0.0.1:${port}/`), straight: false }
  const { path, headers } = requestFor({ destination: destinations('steady', 1)[0] ?? '' }, target)
  const startedAt = performance.now()
  const program = contestant.start({ port, upstream, folder, nodeFlags })
  await untilAnswered(program, async () => {
    const { statusCode, body } = await request(new URL(path, target.url), { headers })
    await body.dump()
    if (statusCode !== 200) throw new Error(`it answered its first request with ${statusCode}`)
  })
  return { target, program, startedMs: performance.now() - startedAt }
}

const runFolder = join(outFolder, String(process.pid))
process.on('exit', () => rmSync(runFolder, { recursive: true, force: true }))
let folders = 0

function newFolder() {
  const folder = join(runFolder, String(++folders))
  mkdirSync(folder, { recursive: true })
  return folder
}

async function untilAnswered(program: Program, ask: () => Promise<unknown>) {
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
