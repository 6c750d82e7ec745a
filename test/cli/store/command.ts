import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runStoreCommand } from '../../../src/cli/store/command.ts'
import { readStoreConfig } from '../../../src/config/config.ts'
import { openStore } from '../../../src/store/open.ts'
import type { Archive, SendRow, Store } from '../../../src/store/store.ts'
import { test as base, type TestGateway } from '../../gateway.ts'
import { ended, policy, send } from '../../store/sends.ts'

export type Environment = Record<string, string>
type Result = { code: number | null; stdout: string; stderr: string }
type Fixtures = {
  dir: string
  path: string
  url: string
  /** Runs the command on `url` in this process. */
  run: (args: string[], options?: { input?: string; env?: Environment }) => Promise<Result>
  /** Starts the program on `url` in a process of its own; killed at the end. */
  program: (args: string[]) => ReturnType<typeof startProgram>
  open: (path: string) => Promise<Store & Archive>
}

function startProgram(args: string[], env: Environment) {
  const child = spawn(process.execPath, ['src/cli/store.ts', ...args], { env: { PATH: process.env.PATH, ...env } })
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]> // as Node documents it
  return { child, exited }
}

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  dir: async ({}, use) => {
    const dir = mkdtempSync(join(tmpdir(), 'store-command-'))
    await use(dir)
    rmSync(dir, { recursive: true })
  },
  path: async ({ dir }, use) => use(join(dir, 'gateway.sqlite')),
  url: async ({ path }, use) => use(`sqlite:${path}`),
  run: async ({ url }, use) => {
    await use(async (args, { input = '', env = {} } = {}) => {
      let stdout = ''
      const { exitCode, error } = await runStoreCommand(args, {
        readConfig: () => readStoreConfig({ STORE_URL: url, ...env }),
        readInput: async () => input,
        print: async text => {
          stdout += text
        },
      })
      return { code: exitCode, stdout, stderr: error === undefined ? '' : `${error}\n` }
    })
  },
  program: async ({ url }, use) => {
    const started: ReturnType<typeof startProgram>[] = []
    await use(args => {
      const program = startProgram(args, { STORE_URL: url })
      started.push(program)
      return program
    })
    for (const { child, exited } of started) {
      child.kill('SIGKILL')
      await exited
    }
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  open: async ({}, use) => {
    const opened: Store[] = []
    await use(async path => {
      const store = await openStore(`sqlite:${path}`, policy)
      opened.push(store)
      return store
    })
    for (const store of opened) await store.close()
  },
})

export const number = '34699999999'
export const settled = (over: Partial<SendRow> = {}): SendRow => ({ ...send(), ...ended('accepted', Date.now()), ...over })

export async function fill(store: Archive, rows: readonly SendRow[]) {
  for (let n = 0; n < rows.length; n += 1_000) await store.load(rows.slice(n, n + 1_000))
}

export async function dumpOf(store: Archive) {
  const all: SendRow[] = []
  for (let page = await store.dump(); page.length > 0; page = await store.dump(page.at(-1)?.id)) all.push(...page)
  return all
}

export const say = (gateway: TestGateway, key: string, destination = '34600000000', message = 'Hello') =>
  gateway.post(`/chats/whatsapp/100/${destination}/messages`, { message }, { 'idempotency-key': key })

/** The figures of a report, by their first word. */
export const figures = (stdout: string) =>
  Object.fromEntries([...stdout.matchAll(/^ *(\w+)(?: out)? +(\d+)/gm)].map(([, name, count]) => [name, Number(count)]))

/** The rows of an export. */
export const rowsIn = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
