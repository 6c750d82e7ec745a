import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { ConfigError, readStoreConfig, storePolicyOf } from '../config/config.ts'
import { withoutNewline } from '../config/secrets.ts'
import { check } from './store/check.ts'
import { copy } from './store/copy.ts'
import { exportRows } from './store/export.ts'
import { forget } from './store/forget.ts'
import { exitCodeOf, type Ledger, openLedger, wordsFor } from './store/ledger.ts'

const usage = `npm run -s store -- copy FROM TO               every send and key of one ledger into another; can be run again
npm run -s store -- check                      what is in the ledger, and whether it is whole
npm run -s store -- forget DESTINATION         erases what was sent to a destination, whoever sent it
npm run -s store -- export [--destination …]   every send, or those to a destination, as JSON Lines: personal data

FROM and TO are URLs like STORE_URL, or @FILE for one that holds a password: what is typed here, all users of the machine can see.
The others work on STORE_URL. Stop every gateway before the last copy, and start them with TO.
A destination of - is read from the standard input, so that it stays out of the history of the shell and the list of processes.
forget frees the Idempotency-Keys of what it erases: a request that is repeated with one of them is sent again.

Exit code 0: done; 1: not, or not all; 78: the arguments or the configuration are wrong.`

const { positionals = [], values = {} } = parsed() ?? {}
const [verb = '', ...operands] = positionals
if (values.help) {
  process.stdout.write(`${usage}\n`)
  process.exit(0)
}
const expected = { copy: 2, check: 0, forget: 1, export: 0 }[verb]
if (expected !== operands.length || operands.includes('') || (values.destination !== undefined && verb !== 'export')) leave(usage, 78)

process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(0) // whoever reads has read enough
  leave(`The output cannot be written (${code})`, 1)
})
const config = configOrExit()
const options = storePolicyOf(config)
const opened: Ledger[] = []
const done = await run().catch(error => leave(wordsFor(error), exitCodeOf(error)))
for (const ledger of opened) await ledger.close()
process.exitCode = done ? 0 : 1

async function run(): Promise<boolean> {
  const [first = '', second = ''] = operands
  if (verb === 'copy') {
    const from = await open('FROM', urlOf(first), { migrate: true })
    return copy(from, await open('TO', urlOf(second), { migrate: true, create: true }), options, print)
  }
  const given = verb === 'forget' ? first : values.destination
  const destination = given === '-' ? withoutNewline(await text(process.stdin)) : given
  if (destination === '') leave('The destination is empty', 78)
  const ledger = await open('STORE_URL', config.storeUrl, {})
  const work =
    verb === 'check'
      ? check(ledger, print)
      : verb === 'export'
        ? exportRows(ledger, destination, print)
        : forget(ledger, destination ?? '', print)
  return work.catch(ledger.blame)
}

async function open(name: string, url: string, more: { create?: boolean; migrate?: boolean }): Promise<Ledger> {
  const ledger = await openLedger(name, url, { ...options, ...more })
  opened.push(ledger)
  return ledger
}

async function print(said: string) {
  if (!process.stdout.write(said)) await once(process.stdout, 'drain')
}

function urlOf(operand: string): string {
  if (!operand.startsWith('@')) return operand
  try {
    return withoutNewline(readFileSync(operand.slice(1), 'utf8')) ?? ''
  } catch {
    return leave('@ is not followed by a file that can be read', 78)
  }
}

function configOrExit() {
  try {
    return readStoreConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return leave(`The configuration is not valid:\n${error.message}`, 78)
  }
}

function parsed() {
  try {
    const options = { help: { type: 'boolean', short: 'h' }, destination: { type: 'string' } } as const
    return parseArgs({ args: process.argv.slice(2), options, allowPositionals: true })
  } catch {
    return undefined // the message quotes what was typed
  }
}

function leave(words: string, code: number): never {
  process.stderr.write(`${words}\n`)
  process.exit(code)
}
