import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../../../bench/programs.ts'

/** For `skipIf`, with "(needs redis-server)" in the name. */
export const noServer = spawnSync('redis-server', ['--version']).status !== 0

/** In memory where there is some: what a busy disk takes to write may be longer than the store waits. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** As a ledger should have it, with a database for every store of a test file. */
const sound = {
  appendonly: 'yes',
  appendfsync: 'always',
  save: '""',
  databases: '1000',
  'enable-debug-command': 'yes',
  'repl-diskless-sync-delay': '0',
}

type ServerOptions = {
  settings?: Record<string, string>
  /** Settings of a server that speaks TLS only, under the name localhost. */
  tls?: Record<string, string>
  /** Makes it a Sentinel that watches the server of that port, under the name `ours`. */
  sentinelOf?: number
}

export type Server = Awaited<ReturnType<typeof startServer>>

/** A real server on loopback with a directory of its own; it can be killed, frozen and started again on the same port. */
export async function startServer({ settings = {}, tls, sentinelOf }: ServerOptions = {}) {
  const dir = mkdtempSync(join(scratch, 'valkey-'))
  const file = join(dir, 'server.conf')
  const port = await freePort()
  const listening = tls ? { port: '0', 'tls-port': String(port), ...tls } : { port: String(port) }
  const given = { ...listening, bind: '127.0.0.1', dir, ...(sentinelOf === undefined && sound), ...settings }
  const lines = Object.entries(given).map(([name, value]) => `${name} ${value}`)
  if (sentinelOf !== undefined)
    lines.push(
      `sentinel monitor ours 127.0.0.1 ${sentinelOf} 1`,
      'sentinel down-after-milliseconds ours 500',
      'sentinel failover-timeout ours 2000',
    )
  writeFileSync(file, lines.join('\n'))
  const address = tls ? `rediss://localhost:${port}` : `redis://127.0.0.1:${port}`
  let child = await run()
  let databases = 0

  async function run() {
    const started = spawn('redis-server', [file, ...(sentinelOf === undefined ? [] : ['--sentinel'])], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const ready = Promise.withResolvers<void>()
    started.on('exit', () => ready.reject(new Error('redis-server has ended')))
    createInterface({ input: started.stdout }).on('line', line => {
      if (/Ready to accept connections|Sentinel ID is/.test(line)) ready.resolve()
    })
    await ready.promise
    return started
  }

  async function kill() {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  return {
    port,
    url: (db = 0) => `${address}/${db}`,
    /** The URL of a database that no test has used. */
    fresh: () => `${address}/${++databases}`,
    stop: () => child.kill('SIGSTOP'),
    go: () => child.kill('SIGCONT'),
    kill,
    async restart() {
      child = await run()
    },
    /** Asks the server something, as an operator would. */
    cli: (...words: string[]) => spawnSync('redis-cli', ['-p', String(port), ...words], { encoding: 'utf8' }).stdout.trim(),
    async end() {
      await kill()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
