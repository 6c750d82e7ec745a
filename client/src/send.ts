import type { components } from './api.ts'
import { GatewayProblem, inDoubt } from './problem.ts'
import { delayMs, longestMs, wait } from './wait.ts'

type Schemas = components['schemas']

/** One conversation. */
export type Chat = { platform: string; platformId: string; destination: string }
/** A file of your own, which the gateway keeps for Afilnet to fetch. */
export type Upload = {
  file: Blob
  thumb?: Blob | undefined
  type?: string | undefined
  message?: string | undefined
  reference?: string | undefined
}
/** What may be left out may be undefined, too. */
type Loose<T> = { [K in keyof T]: Record<never, never> extends Pick<T, K> ? T[K] | undefined : T[K] }
/** A text, a file that has a URL, or a file of your own. */
export type Content = Loose<Schemas['NewMessage']> | Loose<Schemas['NewFile']> | Upload

export type SendOptions = {
  /** Keep it beside your own record of the message, and a send that your process lost can be repeated. By default a new one. */
  idempotencyKey?: string | undefined
  /** Ends the waiting. What has left is not called back. */
  signal?: AbortSignal | undefined
  /** How often the request is made, at most. */
  attempts?: number | undefined
  /** Called after each attempt that failed and will be repeated. */
  onRetry?: ((problem: GatewayProblem) => void) | undefined
}

/** One request: its path and body, with a key. Throws `GatewayProblem`. */
export type Post = (chat: Chat, content: Content, idempotencyKey: string, signal?: AbortSignal) => Promise<Schemas['Send']>

/**
 * Sends one message, whatever happens on the way: every repetition has the same `Idempotency-Key`.
 *
 * It repeats as long as the gateway says that this is safe, and of use within a minute, and throws the last problem, with its key, after that.
 * A problem that names no send is about its own request: if an earlier one may have been applied, its `outcome` is `unknown`.
 */
export async function sendSafely(post: Post, chat: Chat, content: Content, options: SendOptions = {}): Promise<Schemas['Send']> {
  const { idempotencyKey = randomKey(), signal, attempts = 5, onRetry } = options
  let mayBeApplied = false
  for (let attempt = 1; ; attempt++) {
    try {
      return await post(chat, content, idempotencyKey, signal)
    } catch (error) {
      if (!(error instanceof GatewayProblem)) throw error
      mayBeApplied = error.outcome === 'unknown' || (mayBeApplied && error.body?.sendId === undefined)
      const problem = mayBeApplied && error.outcome !== 'unknown' ? inDoubt(error) : error
      problem.idempotencyKey = idempotencyKey
      if (problem.retry === 'no' || attempt >= attempts || (problem.retryAfterMs ?? 0) > longestMs) throw problem
      onRetry?.(problem)
      await wait(delayMs(attempt, problem.retryAfterMs), signal)
    }
  }
}

/** The form of an upload; the file last, so that the rest is known when it arrives. */
export function formOf({ file, thumb, ...fields }: Upload): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, value)
  if (thumb) form.append('thumb', thumb)
  form.append('file', file)
  return form
}

/** 128 random bits; `crypto.randomUUID` is missing in pages without TLS. */
const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
