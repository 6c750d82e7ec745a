import pino, { type DestinationStream, type Logger } from 'pino'
import type { Config } from './config.ts'

// Line by line: what waits in a buffer is lost, or overtaken by the last words, when the process ends.
const standardOutput = () => pino.destination({ dest: 1, sync: true })

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
