import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'

/** A program of the benchmark, with what the kernel knows of it and its children. */
export type Program = { ended(): boolean; memoryMb(): number; cpuSeconds(): number; stop(): Promise<void> }

export type Core = keyof typeof cores

/** The processors of each part, as taskset lists them. */
export const cores = { target: '0', second: '1', loader: '1' }

/** Whether a program is installed. */
export const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** Whether target and loader have a core of their own each. */
export const pinned = availableParallelism() > 1 && has('taskset')

/** Puts this process, and what it starts elsewhere than on the targets' core, on the loader's. */
export function pinMyself() {
  if (pinned) spawnSync('taskset', ['-a', '-c', '-p', cores.loader, String(process.pid)])
}

const running = new Set<Program>()

/** Ends everything that still runs, and then this process. */
export function leaveOnSignals() {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      process.stderr.write(`${signal}: leaving\n`)
      await Promise.all([...running].map(program => program.stop()))
      process.exit(1)
    })
  }
}

/** The command line that runs a program on a core. */
export const onCore = (core: Core, command: readonly string[]): [string, ...string[]] =>
  (pinned ? ['taskset', '-c', cores[core], ...command] : command) as [string, ...string[]] // a command is never empty

/** Starts a program; shows what it writes to stderr, and drops its stdout or writes it to a file. */
export function start(core: Core, command: readonly string[], env: Record<string, string> = {}, output?: string): Program {
  const [file, ...args] = onCore(core, command)
  const child = spawn(file, args, {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', output === undefined ? 'ignore' : openSync(output, 'a'), 'inherit'],
  })
  const exited = once(child, 'exit').finally(() => running.delete(program))
  const pid = Number(child.pid)
  const program: Program = {
    ended: () => !running.has(program),
    memoryMb: () => family(pid).reduce((sum, pid) => sum + Number(/^VmRSS:\s+(\d+)/m.exec(read(pid, 'status'))?.[1] ?? 0) / 1024, 0),
    cpuSeconds: () => family(pid).reduce((sum, pid) => sum + cpuTicks(read(pid, 'stat')) / ticksPerSecond, 0),
    stop: async () => {
      child.kill('SIGTERM')
      const tooLong = setTimeout(() => child.kill('SIGKILL'), 20_000)
      await exited
      clearTimeout(tooLong)
    },
  }
  running.add(program)
  return program
}

const ticksPerSecond = 100 // USER_HZ, the same on every Linux

const read = (pid: number, file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8')

const family = (pid: number): number[] => [
  pid,
  ...(read(pid, `task/${pid}/children`).match(/\d+/g) ?? []).flatMap(child => family(Number(child))),
]

/** User and system time; the name before them may hold blanks. */
function cpuTicks(stat: string) {
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
  return Number(user) + Number(system)
}

/** A free port. It is none that the system gives to outgoing connections: one of these could take it while its server restarts. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false, // taken
    )
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
