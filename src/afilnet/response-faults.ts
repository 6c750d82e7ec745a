import type { IncomingHttpHeaders } from 'node:http'
import { retryAfterMs } from '../lib/retry-after.ts'
import { errors } from '../lib/undici.ts'
import { type Fault, failures, faults } from './faults.ts'

/** What an HTTP status from 300 on says, whatever the body. */
export function faultOfStatus(status: number): Fault {
  if (status < 400) return failures.redirect
  if (status === 401) return faults.INCORRECT_USER_PASSWORD
  if (status === 429) return failures.rateLimited
  return status < 500 ? failures.clientError : failures.serverError
}

/** What went wrong after the request left. Anything unfamiliar must count as a lost connection: nothing of it is known. */
export function faultOfError(error: Error, answering: boolean): Fault {
  if (error instanceof errors.ResponseExceededMaxSizeError) return failures.responseTooLarge
  return answering || unreadable.some(kind => error instanceof kind) ? failures.invalidResponse : failures.connectionLost
}

/** The code of an error of the network, for the log; its message may quote anything. */
export function networkErrorOf(error: unknown): string | undefined {
  const { code } = error as { code?: unknown }
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'ETIMEDOUT'
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? code : undefined
}

/** Ways in which undici says that an answer came and is none, even where its head was never complete. */
const unreadable = [errors.HTTPParserError, errors.ResponseContentLengthMismatchError, errors.HeadersOverflowError]

const maxRetryAfterS = 3_600

/** The seconds that a `Retry-After` asks for, within bounds. */
export function retryAfter({ 'retry-after': value }: IncomingHttpHeaders): number | undefined {
  const ms = retryAfterMs(value, Date.now())
  return ms === undefined ? undefined : Math.min(maxRetryAfterS, Math.max(1, Math.ceil(ms / 1_000)))
}
