import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../bench/programs.ts'

export type Balancer = Awaited<ReturnType<typeof startBalancer>>

const shipped = readFileSync(new URL('../../deploy/nginx/nginx.conf', import.meta.url), 'utf8')

/** The real nginx with the project's own file, or a change of it, in front of gateways on these ports; each answer of theirs tells which of them gave it. */
export async function startBalancer(ports: readonly number[], change = (text: string) => text) {
  const folder = mkdtempSync(join(tmpdir(), 'balancer-'))
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  const command = ['-p', folder, '-e', 'stderr', '-c', file]

  /** Only addresses and places are others. */
  function write(out: readonly number[] = []) {
    const text = ports
      .reduce(
        (text, port, i) => text.replace(`172.30.30.1${i + 1}:3000`, `127.0.0.1:${port}${out.includes(port) ? ' down' : ''}`),
        change(shipped),
      )
      .replaceAll('/tmp/', `${folder}/`)
      .replace('worker_processes auto', 'worker_processes 1')
      .replace('listen 8080;', `listen 127.0.0.1:${port};\nadd_header X-Served-By $upstream_addr always;`)
      .replace('/dev/stdout', `${folder}/access.log`)
      .replace('/dev/stderr', 'stderr')
    writeFileSync(file, text)
  }

  write()
  const nginx = spawn('nginx', [...command, '-g', 'daemon off;'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(nginx, 'exit')
  let errors = ''
  nginx.stderr.on('data', chunk => {
    errors += chunk
  })
  while (!(await listens(port))) {
    if (nginx.exitCode !== null) throw new Error(`nginx does not start: ${errors}`)
    await sleep(20)
  }

  return {
    url: `http://127.0.0.1:${port}`,
    log: () => readFileSync(join(folder, 'access.log'), 'utf8'),
    errors: () => errors,
    /** Sends no more requests to these gateways; resolves once earlier requests have ended. */
    async takeOut(out: readonly number[]) {
      const before = childrenOf(nginx.pid)
      write(out)
      spawnSync('nginx', [...command, '-s', 'reload'])
      while (childrenOf(nginx.pid).some(pid => before.includes(pid))) await sleep(20)
    },
    async close() {
      nginx.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const childrenOf = (pid: number | undefined): string[] => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? []

async function listens(port: number) {
  const socket = connect(port, '127.0.0.1')
  return once(socket, 'connect').then(
    () => socket.destroy() !== undefined,
    () => false,
  )
}
