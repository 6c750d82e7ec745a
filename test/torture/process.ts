import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

type LogLine = { level: number; msg: string; url?: string } & Record<string, unknown>

/** How a process was ended from outside, and when another one took its place. */
export type Stop = { signal: NodeJS.Signals; at: number; upAgainAt: number }

export type GatewayProcess = ReturnType<typeof createProcess>

/** The real gateway in a process of its own, to be ended by any signal and started again. */
export function createProcess(env: Record<string, string>, onLine: (line: LogLine) => void = () => {}) {
  let child: ChildProcess | undefined
  let url = ''
  const stops: Stop[] = []
  const complaints: { at: number; line: string }[] = []

  const complain = (line: string) => void complaints.push({ at: Date.now(), line })
  const alive = () => child !== undefined && child.exitCode === null && child.signalCode === null
  const upAgain = () => {
    for (const stop of stops) stop.upAgainAt = Math.min(stop.upAgainAt, Date.now())
  }
  return {
    /** Where it listens; only while it does. */
    url: () => url,
    pid: () => child?.pid,
    stops,
    /** What a sound process never does: an error in its log, anything on stderr, an end that nobody asked for. */
    complaints,

    /** Resolves once it is ready; rejects if it ends before. */
    async start() {
      const started = spawn(process.execPath, ['src/main.ts'], {
        env: { PATH: process.env.PATH, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      child = started
      const ready = Promise.withResolvers<void>()
      createInterface({ input: started.stdout as Readable }).on('line', text => {
        const line = JSON.parse(text) as LogLine // pino writes nothing else
        if (line.level >= 50) complain(text)
        if (line.msg === 'gateway is ready') {
          url = String(line.url)
          upAgain()
          ready.resolve()
        }
        onLine(line)
      })
      createInterface({ input: started.stderr as Readable }).on('line', complain)
      started.on('exit', (code, signal) => {
        ready.reject(new Error(`the gateway ended with ${signal ?? code}`))
        if (child === started && url !== '') complain(`the gateway ended by itself with ${signal ?? code}`)
      })
      await ready.promise
    },

    /** Resolves with the exit code, and how long it took to get it. */
    async stop(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }> {
      const ending = child
      if (!ending || !alive()) return { code: ending?.exitCode ?? null, ms: 0 }
      child = undefined
      url = ''
      const at = Date.now()
      stops.push({ signal, at, upAgainAt: Number.POSITIVE_INFINITY })
      const gone = once(ending, 'exit')
      ending.kill(signal)
      const [code] = await gone
      return { code, ms: Date.now() - at }
    },

    /** Halts it for a while, as a busy machine may; it lives on. */
    async freeze(forMs: number) {
      const at = Date.now()
      child?.kill('SIGSTOP')
      await sleep(forMs)
      child?.kill('SIGCONT')
      stops.push({ signal: 'SIGSTOP', at, upAgainAt: Date.now() })
    },

    /** What it holds, where the system tells. */
    usage() {
      try {
        const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child?.pid}/status`, 'utf8'))?.[1]
        return { rssMb: Math.round(Number(kb) / 1024), handles: readdirSync(`/proc/${child?.pid}/fd`).length }
      } catch {
        return undefined
      }
    },
  }
}
