import pino, { type DestinationStream, type Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { createLogDestination, type LogDestination, sinkOf } from './log-destination.ts'

/** Standard output as a log destination. The last lines of the process still leave, where the sink takes them at once. */
export function openStandardOutput(): LogDestination {
  const destination = createLogDestination(sinkOf(1))
  process.on('exit', () => destination.flushNow())
  return destination
}

/**
 * The process's log: JSON lines of events.
 *
 * A URL, a chat, a text or an error's message can carry what must not be logged, so no serializer lets one through.
 */
export function createLogger(level: Config['logLevel'], destination: DestinationStream | LogDestination = openStandardOutput()): Logger {
  const options = { level, base: null, serializers: { err: describeError, req: () => undefined, res: () => undefined } }
  const logger = pino(options, destination)
  if ('onResumed' in destination) {
    destination.onResumed = dropped => logger.warn({ dropped }, 'log lines dropped because the output was blocked or failed')
  }
  return logger
}

/** An error without its message: what it is, its code, and where it arose. */
function describeError(error: unknown) {
  if (!(error instanceof Error)) return { type: typeof error }
  const { code } = error as NodeJS.ErrnoException
  const at = error.stack?.split('\n').filter(line => /^\s+at /.test(line)) ?? []
  return { type: error.name, ...(typeof code === 'string' && { code }), at: at.slice(0, 10).map(line => line.trim()) }
}
