import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import type { Environment } from '../src/config/variables.ts'
import { canaries, createLog, environment } from './gateway.ts'

/** The real program in a process of its own, in front of a sandbox; killed at the end of the test. */
export async function startProgram(sandbox: { url: string; user: string }, env: Environment = {}, entry = 'src/main.ts') {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-program-'))
  const given = {
    ...environment(sandbox, 5_000),
    STORE_URL: `sqlite:${join(folder, 'ledger.sqlite')}`,
    LOG_LEVEL: 'info',
    PATH: process.env.PATH,
    ...env,
  }
  const child = spawn(process.execPath, [entry], { env: given, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]> // as Node documents it
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
    rmSync(folder, { recursive: true, force: true })
  })
  const { log, take, logged: found } = createLog()
  createInterface({ input: child.stdout }).on('line', line => {
    if (!child.killed || line.endsWith('}')) take(line) // a process that is killed may leave half a line
  })
  /** Resolves with the first log line of that message, past or to come. */
  const logged = (msg: string) => found(line => line.msg === msg)
  const { url } = await Promise.race([logged('gateway is ready'), exited.then(end => Promise.reject(new Error(`it ended with ${end}`)))])
  const request = async (path: string, init: RequestInit = {}, key = canaries.key) => {
    const answer = await fetch(`${url}${path}`, { ...init, headers: { authorization: `Bearer ${key}`, ...init.headers } })
    return { status: answer.status, headers: answer.headers, json: JSON.parse(await answer.text()) }
  }
  return {
    url: String(url),
    folder,
    pid: Number(child.pid),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    exited,
    log,
    logged,
    get: (path: string, key?: string) => request(path, {}, key),
    post: (path: string, body: unknown, headers: Record<string, string> = {}) =>
      request(path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }),
  }
}

export const digestOf = (key: string) => hash('sha256', key)
