import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

type LogLine = { level: number; msg: string; url?: string } & Record<string, unknown>

/** A time in which a process was stopped, frozen or held up, until it served again. */
export type Outage = { signal: NodeJS.Signals; at: number; upAgainAt: number }

type StartOptions = {
  /** Where the log goes instead of to this process. */
  logTo?: string
  /** More variables, such as a preloaded library. */
  env?: Record<string, string>
}

export type GatewayProcess = ReturnType<typeof createGatewayProcess>

/** The real gateway in a process of its own; any signal can end it, and it can start again. Without a fixed port its log says where it listens. */
export function createGatewayProcess(env: Record<string, string>, port = 0) {
  let child: ChildProcess | undefined
  let serving = false
  let pollsSince = 0
  const outages: Outage[] = []
  const errors: { at: number; line: string }[] = []
  let url = `http://127.0.0.1:${port}`

  const report = (line: string) => void errors.push({ at: Date.now(), line })
  const alive = () => child !== undefined && child.exitCode === null && child.signalCode === null

  function served() {
    serving = true
    for (const outage of outages) outage.upAgainAt = Math.min(outage.upAgainAt, Date.now())
  }

  /** Resolves once the gateway takes requests, whatever becomes of its log; rejects if it ends before. */
  async function answers(started: ChildProcess) {
    while (started.exitCode === null && started.signalCode === null) {
      const answer = await fetch(`${url}/health/ready`).catch(() => undefined)
      await answer?.body?.cancel()
      if (answer?.status === 200) return
      await sleep(20)
    }
    throw new Error(`the gateway ended with ${started.signalCode ?? started.exitCode}`)
  }

  return {
    url: () => (serving ? url : ''),
    /** Since when the process looks for events at Afilnet, as its log says; 0 if it does not. */
    pollsSince: () => pollsSince,
    pid: () => child?.pid ?? 0,
    outages,
    /** What a healthy process never does: an error in its log, anything on stderr, an exit without a signal from here. */
    errors,

    async start({ logTo, env: more = {} }: StartOptions = {}) {
      const sink = logTo === undefined ? undefined : openSync(logTo, 'w')
      const started = spawn(process.execPath, ['src/main.ts'], {
        env: { PATH: process.env.PATH, ...env, ...more, PORT: String(port) },
        stdio: ['ignore', sink ?? 'pipe', 'pipe'],
      })
      if (sink !== undefined) closeSync(sink)
      child = started
      const ready = Promise.withResolvers<void>()
      if (started.stdout)
        createInterface({ input: started.stdout }).on('line', text => {
          const line = JSON.parse(text) as LogLine // the gateway writes nothing else
          if (line.level >= 50) report(text)
          if (line.msg === 'polling for events started') pollsSince = Date.now()
          if (line.msg === 'polling for events ended') pollsSince = 0
          if (line.msg !== 'gateway is ready') return
          url = String(line.url)
          ready.resolve()
        })
      else answers(started).then(ready.resolve, ready.reject)
      createInterface({ input: started.stderr as Readable }).on('line', report)
      started.on('exit', (code, signal) => {
        ready.reject(new Error(`the gateway ended with ${signal ?? code}`))
        if (child === started && serving) report(`the gateway exited without a signal, with ${signal ?? code}`)
      })
      await ready.promise
      served()
    },

    /** Resolves with the exit code, and how long the process took to exit. */
    async stop(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }> {
      const ending = child
      if (!ending || !alive()) return { code: ending?.exitCode ?? null, ms: 0 }
      child = undefined
      serving = false
      pollsSince = 0
      const at = Date.now()
      outages.push({ signal, at, upAgainAt: Number.POSITIVE_INFINITY })
      const exited = once(ending, 'exit')
      ending.kill(signal)
      const [code] = await exited
      return { code, ms: Date.now() - at }
    },

    /** Halts the process for a while, as a busy machine may. */
    async freeze(forMs: number) {
      const at = Date.now()
      child?.kill('SIGSTOP')
      await sleep(forMs)
      child?.kill('SIGCONT')
      outages.push({ signal: 'SIGSTOP', at, upAgainAt: Date.now() })
    },

    signal: (signal: NodeJS.Signals) => child?.kill(signal),

    /** Reads no log line for a while, so that the pipe fills up. */
    async stallLog(forMs: number) {
      const { stdout } = child ?? {}
      stdout?.pause()
      await sleep(forMs)
      stdout?.resume()
    },

    /** Closes the reading end of the log's pipe; what the process writes from now on fails. */
    closeLog() {
      child?.stdout?.destroy()
    },

    /** Memory and open handles, where the system tells them. */
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
