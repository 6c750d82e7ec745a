import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect } from 'vitest'
import { runDoctorCommand } from '../../../src/cli/doctor/command.ts'
import type { Check, Report } from '../../../src/cli/doctor/report.ts'
import type { Environment } from '../../../src/config/variables.ts'
import type { Sandbox } from '../../../src/sandbox/app.ts'
import { test as base, canaries, environment } from '../../gateway.ts'

/** Texts and numbers of the sandbox's conversations, and credentials: a report never contains them. */
const private_ = [
  ...Object.values(canaries).flatMap(canary => [canary, encodeURIComponent(canary), Buffer.from(canary).toString('base64')]),
  hash('sha256', canaries.key),
  'demo@sandbox',
  ...['34600000000', '34600000001', '700100200', 'visitor-7f3a', '"ana"', 'WhatsApp support', 'Telegram bot'],
  ...['parcel', 'Great', 'anybody there', 'Canary Islands', 'order 1043', 'abren', 'come at seven', '/start', 'afternoon'],
  ...['cn1', '34699999999', '98761234'],
]

type Options = {
  env?: Environment
  args?: string[]
  /** Runs the real program in a process of its own, started by these words. */
  under?: string[]
}
type Ran = { code: number | null; out: string; err: string }
type Examined = Report & {
  code: number | null
  /** The checks of that name; there is one to an account, or to a call. */
  named(check: string): Check[]
  /** Everything found wrong, by the name of its check. */
  wrong: string[]
}

export const test = base.extend<{
  dir: string
  doctor: (options?: Options) => Promise<Ran>
  examine: (options?: Options) => Promise<Examined>
}>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  dir: async ({}, use) => {
    const dir = mkdtempSync(join(tmpdir(), 'doctor-'))
    await use(dir)
    rmSync(dir, { recursive: true })
  },
  /** Runs the command, in this process unless `under` is given. Its output is searched for what is private. */
  doctor: async ({ sandbox, dir }, use) => {
    await use(async ({ env = {}, args = [], under } = {}) => {
      const given = { ...environment(sandbox, 5_000), STORE_URL: `sqlite:${join(dir, 'ledger.sqlite')}`, PATH: process.env.PATH, ...env }
      const ran = under ? await spawned(under, args, given) : await inProcess(args, given)
      for (const word of private_) expect((ran.out + ran.err).includes(word), `${word} came out`).toBe(false)
      return ran
    })
  },
  examine: async ({ doctor }, use) => {
    await use(async ({ args = [], ...options } = {}) => {
      const { code, out, err } = await doctor({ ...options, args: ['--json', ...args] })
      expect(err).toBe('')
      const report: Report = JSON.parse(out)
      expect({ ok: 0, warning: 1, broken: 2 }[report.verdict]).toBe(code)
      return {
        ...report,
        code,
        named: check => report.checks.filter(one => one.check === check),
        wrong: report.checks.filter(({ verdict }) => verdict === 'warning' || verdict === 'broken').map(({ check }) => check),
      }
    })
  },
})

async function inProcess(args: string[], env: Environment): Promise<Ran> {
  const { exitCode, output = '', error = '' } = await runDoctorCommand(args, env)
  return { code: exitCode, out: output, err: error }
}

async function spawned(under: string[], args: string[], env: Environment): Promise<Ran> {
  const [program = '', ...before] = [...under, process.execPath]
  const child = spawn(program, [...before, 'src/cli/doctor.ts', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code, out, err }
}

export const methodsOf = (sandbox: Sandbox) => sandbox.calls.map(({ params }) => Object.fromEntries(params).method)
export const listed = (...rows: unknown[]) => ({ body: JSON.stringify({ status: 'SUCCESS', result: { list: rows } }) })
export const everyRead = ['getchatchannels', 'getchats', 'getchats', 'getchats', 'getchats', 'getmessages']
