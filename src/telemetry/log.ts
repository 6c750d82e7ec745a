import pino, { type DestinationStream, type Logger } from 'pino'
import type { Config } from '../config/config.ts'

const bufferBytes = 8_192
const flushMs = 100

/**
 * Lines leave together, since a system call for each would cost more than all the rest of a line; at the latest after `flushMs`, and at
 * the end of the process, whose last words they must not be overtaken by. Only `kill -9` loses those of the last moment.
 */
function standardOutput() {
  const destination = pino.destination({ dest: 1, sync: true, minLength: bufferBytes })
  setInterval(() => destination.flushSync(), flushMs).unref()
  process.on('exit', () => destination.flushSync())
  return destination
}

/**
 * The process's log: JSON lines of facts.
 *
 * A URL, a chat, a text or an error's message can carry what must not be logged, so no serializer lets one through.
 */
export function createLogger(level: Config['logLevel'], destination: DestinationStream = standardOutput()): Logger {
  const options = { level, base: null, serializers: { err: describeError, req: () => undefined, res: () => undefined } }
  return pino(options, destination)
}

/** An error without its message: what it is, its code, and where it arose. */
export function describeError(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error }
  const { code } = error as NodeJS.ErrnoException
  const at = error.stack?.split('\n').filter(line => /^\s+at /.test(line)) ?? []
  return { type: error.name, ...(typeof code === 'string' && { code }), at: at.slice(0, 10).map(line => line.trim()) }
}
