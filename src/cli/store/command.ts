import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type readStoreConfig, storePolicyOf } from '../../config/config.ts'
import { withoutNewline } from '../../config/secrets.ts'
import { check } from './check.ts'
import { copy } from './copy.ts'
import { exportRows } from './export.ts'
import { forget } from './forget.ts'
import { CommandError, describeError, exitCodeOf, type Ledger, type Opening, openLedger, type Print } from './ledger.ts'
import { accept, holdQueue, releaseQueue } from './marks.ts'

const usage = `npm run -s store -- copy FROM TO               copies every send, key and row of a file of one ledger into another, but no events; can be run again
npm run -s store -- check                      looks for damage, counts what is in the ledger, and compares its files with MEDIA_STORE
npm run -s store -- forget DESTINATION         erases the sends of all callers to a destination, its events, and the files uploaded for it
npm run -s store -- export [--destination …]   prints every send, event and file, or those of a destination, as JSON Lines: personal data
npm run -s store -- hold-queue                 keeps what is queued now from being sent: run it after a restore, before the first start
npm run -s store -- release-queue              lets held sends go; those that are too late have expired
npm run -s store -- accept                     accepts a ledger that was replaced: gateways take sends with a key again within 5 seconds

FROM and TO are URLs like STORE_URL. Give @FILE instead if the URL has a password: all users of a machine can see the arguments of a command.
The other commands work on STORE_URL, and check and forget on MEDIA_STORE, too. Before the last copy, stop every gateway; afterwards, start them with TO as STORE_URL.
If DESTINATION is -, it is read from standard input, so that it stays out of the history of the shell and the list of processes.
forget frees the Idempotency-Keys of what it erases: if a caller repeats such a request, the message is sent again.

Exit code 0: done. 1: failed, or not complete. 78: the arguments or the configuration are wrong.`

type StoreConfig = ReturnType<typeof readStoreConfig>

/** What the command needs of its process. */
type Terminal = {
  readConfig(): StoreConfig
  readInput(): Promise<string>
  print: Print
}

/** The end of a command: `error` is what to print on standard error. */
type CommandResult = { exitCode: number; error?: string }

type Arguments = { verb: string; operands: string[]; destination: string | undefined }
type Context = Arguments &
  Terminal & {
    config: StoreConfig
    open: (name: string, url: string, more?: Opening) => Promise<Ledger>
    /** Opens that of `STORE_URL`. */
    openOwn: (more?: Opening) => Promise<Ledger>
  }

/** For what is to be done to a backup, or to a restored ledger before a gateway starts with it. */
const unused: Opening = { migrate: 'unused' }

/** Each command, with the number of its operands; it resolves with whether its work is complete. */
const commands: Record<string, { operands: number; run: (context: Context) => Promise<boolean> }> = {
  copy: {
    operands: 2,
    async run({ operands: [from = '', to = ''], open, config, print }) {
      const source = await open('FROM', urlOf(from), { migrate: 'always' })
      return copy(source, await open('TO', urlOf(to), { migrate: 'always', create: true }), storePolicyOf(config), print)
    },
  },
  check: { operands: 0, run: async ({ openOwn, config, print }) => check(await openOwn(), config.mediaPlace, print) },
  forget: {
    operands: 1,
    async run({ operands: [operand = ''], openOwn, config, readInput, print }) {
      const destination = await destinationOf(operand, readInput)
      return forget(await openOwn(unused), destination, config.mediaPlace, print)
    },
  },
  'hold-queue': { operands: 0, run: async ({ openOwn, print }) => holdQueue(await openOwn(unused), print) },
  'release-queue': { operands: 0, run: async ({ openOwn, print }) => releaseQueue(await openOwn(), print) },
  accept: { operands: 0, run: async ({ openOwn, print }) => accept(await openOwn(), print) },
  export: {
    operands: 0,
    async run({ destination: option, openOwn, readInput, print }) {
      const destination = option === undefined ? undefined : await destinationOf(option, readInput)
      return exportRows(await openOwn(), destination, print)
    },
  },
}

/** Runs `npm run store` with these arguments. Its output and errors never contain a URL, a destination or the secret. */
export async function runStoreCommand(args: readonly string[], terminal: Terminal): Promise<CommandResult> {
  const opened: Ledger[] = []
  try {
    const parsed = parse(args)
    if (parsed === 'help') {
      await terminal.print(`${usage}\n`)
      return { exitCode: 0 }
    }
    const config = terminal.readConfig()
    const open = async (name: string, url: string, more: Opening = {}) => {
      const ledger = await openLedger(name, url, { ...storePolicyOf(config), ...more })
      opened.push(ledger)
      return ledger
    }
    const openOwn = (more?: Opening) => open('STORE_URL', config.storeUrl, more)
    const complete = await commands[parsed.verb]?.run({ ...parsed, ...terminal, config, open, openOwn })
    return { exitCode: complete ? 0 : 1 }
  } catch (error) {
    return { exitCode: exitCodeOf(error), error: describeError(error) }
  } finally {
    await Promise.all(opened.map(ledger => ledger.close()))
  }
}

function parse(args: readonly string[]): Arguments | 'help' {
  const { positionals = [], values = {} } = parsed(args) ?? {}
  if (values.help) return 'help'
  const [verb = '', ...operands] = positionals
  const { destination } = values
  const complete = commands[verb]?.operands === operands.length && !operands.includes('')
  if (!complete || (destination !== undefined && verb !== 'export')) throw new CommandError(usage, 78)
  return { verb, operands, destination }
}

function parsed(args: readonly string[]) {
  try {
    const options = { help: { type: 'boolean', short: 'h' }, destination: { type: 'string' } } as const
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch {
    return undefined // its message quotes the arguments
  }
}

async function destinationOf(operand: string, readInput: Terminal['readInput']): Promise<string> {
  const destination = operand === '-' ? withoutNewline(await readInput()) : operand
  if (!destination) throw new CommandError('The destination is empty', 78)
  return destination
}

function urlOf(operand: string): string {
  if (!operand.startsWith('@')) return operand
  try {
    return withoutNewline(readFileSync(operand.slice(1), 'utf8'))
  } catch {
    throw new CommandError('The file after @ cannot be read', 78)
  }
}
