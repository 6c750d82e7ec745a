import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { readStoreConfig } from '../config/config.ts'
import { codeOfFailure, print } from './print-and-exit.ts'
import { runStoreCommand } from './store/command.ts'

process.stdout.on('error', error => process.exit(codeOfFailure(error, 0)))

const { exitCode, error } = await runStoreCommand(process.argv.slice(2), {
  readConfig: () => readStoreConfig(process.env),
  readInput: () => text(process.stdin),
  async print(output) {
    if (!print(output)) await once(process.stdout, 'drain')
  },
})
if (error !== undefined) process.stderr.write(`${error}\n`)
process.exitCode = exitCode
