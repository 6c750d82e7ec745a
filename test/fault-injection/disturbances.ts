import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outage } from './gateway-process.ts'
import type { Setup } from './setup.ts'
import { killInUpload } from './stored-files.ts'

/** Breaks something, waits, and repairs it; resolves with each invariant that did not hold meanwhile. */
type Disturb = (setup: Setup, random: () => number) => Promise<string[] | undefined>

const libfaketime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** What each disturbance needs that may not be installed. */
export const installed: Partial<Record<Kind, boolean>> = { 'disk hangs': has('strace'), 'clock jumps': existsSync(libfaketime) }

/** Every disturbance by its name in the tally. */
const kinds = {
  async 'kill -9'({ victim, proxies }, random) {
    await proxies[0].passed() // in the middle of a send
    if (random() < 0.5) await sleep(random() * 40)
    await victim.stop('SIGKILL')
    await victim.start()
  },

  'kill -9 in an upload': killInUpload,

  async SIGTERM({ victim, proxies }) {
    await proxies[0].passed()
    return restart(victim)
  },

  async freezes({ victim, proxies }) {
    await proxies[0].passed()
    await victim.freeze(1_000)
  },

  async 'refuses connections'({ proxies }, random) {
    await proxies[random() < 0.5 ? 0 : 1].refuse(150)
  },

  async 'Afilnet is away'({ proxies }) {
    await Promise.all(proxies.map(proxy => proxy.refuse(3_000)))
  },

  async 'stray answers'({ proxies, strays }) {
    const at = Date.now()
    for (const proxy of proxies) proxy.slipIn(40)
    await sleep(1_000)
    for (const proxy of proxies) proxy.slipIn(0)
    strays.push({ at, until: Date.now() })
  },

  async 'log stalls'({ victim }) {
    await victim.stallLog(1_500)
  },

  async 'log closes'({ victim }) {
    victim.closeLog()
    await sleep(500)
    return restart(victim)
  },

  async 'log disk is full'({ victim }) {
    const broken = await restart(victim, { logTo: '/dev/full' })
    await sleep(500)
    return [...broken, ...(await restart(victim))]
  },

  async SIGUSR1({ gateways }) {
    for (const gateway of gateways) gateway.signal('SIGUSR1')
    await sleep(200)
    return (await listens(9229)) ? ['SIGUSR1 opens no inspector'] : []
  },

  async 'disk hangs'({ victim, storeOutages }) {
    const delay = 'fsync,fdatasync:delay_enter=1500000' // microseconds
    await during(storeOutages, async () => {
      const strace = spawn('strace', ['-f', '-q', '-p', String(victim.pid()), '-e', 'trace=fsync,fdatasync', '-e', `inject=${delay}`], {
        stdio: 'ignore',
      })
      const exited = once(strace, 'exit')
      await sleep(2_500)
      strace.kill('SIGINT') // detaches
      await exited
    })
  },

  async 'clock jumps'({ victim, folder, clockJumps }) {
    const file = join(folder, 'clock')
    writeFileSync(file, '+0')
    const clock = { LD_PRELOAD: libfaketime, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
    const broken = await restart(victim, { env: clock })
    const at = Date.now()
    writeFileSync(file, '+60s')
    await sleep(700)
    await victim.stop('SIGKILL')
    clockJumps.push({ at, until: Date.now() })
    await victim.start()
    return broken
  },

  async 'ledger vanishes'({ folder, storeUrl, server, storeOutages, ledgerGaps }) {
    const at = Date.now()
    await during(storeOutages, async () => {
      const path = join(folder, 'ledger.sqlite')
      const files = ['', '-wal', '-shm'].map(suffix => path + suffix)
      if (server) server.cli('SWAPDB', '0', '999')
      else for (const file of files) if (existsSync(file)) renameSync(file, `${file}.away`)
      await sleep(700)
      // What was queued meanwhile must not be sent by the next ledger that takes its place.
      if (server)
        for (const words of [
          ['SWAPDB', '0', '999'],
          ['-n', '999', 'FLUSHDB'],
        ])
          server.cli(...words)
      else for (const file of files) if (existsSync(`${file}.away`)) renameSync(`${file}.away`, file)
      spawnSync(process.execPath, ['src/cli/store.ts', 'accept'], { env: { PATH: process.env.PATH, STORE_URL: storeUrl } })
      await sleep(5_000) // within which running processes see it
    })
    ledgerGaps.push({ at, until: Date.now() })
  },

  async 'store dies'({ server, storeOutages }) {
    await during(storeOutages, async () => {
      await server?.kill()
      await sleep(700)
      await server?.restart()
    })
  },

  async 'store freezes'({ server, storeOutages }) {
    await during(storeOutages, async () => {
      server?.stop()
      await sleep(700)
      server?.go()
    })
  },
} as const satisfies Record<string, Disturb>

export type Kind = keyof typeof kinds

const both = [
  'kill -9 in an upload',
  'Afilnet is away',
  'stray answers',
  'log stalls',
  'log closes',
  'log disk is full',
  'SIGUSR1',
  'clock jumps',
  'ledger vanishes',
] as const

/** In which order a run goes through them; kills come most often. */
export const order: Record<'single' | 'replicas', readonly Kind[]> = {
  single: ['kill -9', 'SIGTERM', 'freezes', 'kill -9', 'refuses connections', 'disk hangs', ...both],
  replicas: ['kill -9', 'store dies', 'SIGTERM', 'store freezes', 'kill -9', 'freezes', 'refuses connections', ...both],
}

export const disturb = (kind: Kind, setup: Setup, random: () => number): Promise<string[] | undefined> => {
  const run: Disturb = kinds[kind]
  return run(setup, random)
}

async function restart(victim: Setup['victim'], options: Parameters<Setup['victim']['start']>[0] = {}) {
  const { code, ms } = await victim.stop('SIGTERM')
  await victim.start(options)
  return code === 0 && ms <= 15_000 ? [] : [`SIGTERM ends with 0 within 15 s, not with ${code} after ${ms} ms`]
}

/** Notes that the store was out of order while the work ran. */
async function during(outages: Outage[], work: () => Promise<void>) {
  const outage: Outage = { signal: 'SIGSTOP', at: Date.now(), upAgainAt: Number.POSITIVE_INFINITY }
  outages.push(outage)
  await work()
  outage.upAgainAt = Date.now()
}

async function listens(port: number) {
  const socket = connect(port, '127.0.0.1')
  const open = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false)
  socket.destroy()
  return open
}
