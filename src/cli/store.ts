import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { readStoreConfig } from '../config/config.ts'
import { runStoreCommand } from './store/command.ts'

process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(0) // the reader has read enough
  process.stderr.write(`The output cannot be written (${code})\n`)
  process.exit(1)
})

const { exitCode, error } = await runStoreCommand(process.argv.slice(2), {
  readConfig: () => readStoreConfig(process.env),
  readInput: () => text(process.stdin),
  async print(output) {
    if (!process.stdout.write(output)) await once(process.stdout, 'drain')
  },
})
if (error !== undefined) process.stderr.write(`${error}\n`)
process.exitCode = exitCode
