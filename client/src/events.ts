import type { components } from './api.ts'
import { GatewayProblem } from './problem.ts'
import { blocksOf } from './sse.ts'
import { delayMs, wait } from './wait.ts'

/** Something that happened: a message came or changed, a send was settled, or a `gap` after which you read again. */
export type GatewayEvent = components['schemas']['Event']

export type EventOptions = {
  /** Continue after this event; without it the stream starts now. */
  after?: string | undefined
  /** Only events of these types, comma-separated. */
  type?: string | undefined
  platform?: string | undefined
  platformId?: string | undefined
  destination?: string | undefined
  /** Ends the loop. */
  signal?: AbortSignal | undefined
  /** Called with `undefined` when the stream is open, and with the reason when it is not. */
  onConnection?: ((problem: GatewayProblem | undefined) => void) | undefined
}

/** Opens the stream after an event. */
export type Open = (query: object, lastEventId: string | undefined, signal: AbortSignal) => Promise<ReadableStream<Uint8Array>>

/** The gateway says something every 15 s; after this long without a word the connection is dead. */
const silentMs = 40_000

/**
 * The events of the gateway, across lost connections and restarts: each at least once, in the order of the gateway.
 *
 * It ends with its signal, and throws what another try cannot change: a key without the scope, say.
 * It ends with `return()` too, where a generator alone would wait for the next event first.
 */
export function listen(open: Open, options: EventOptions): AsyncGenerator<GatewayEvent, void> {
  const leaving = new AbortController()
  const events = follow(open, options, options.signal ? AbortSignal.any([options.signal, leaving.signal]) : leaving.signal)
  const end = events.return.bind(events)
  events.return = value => {
    leaving.abort()
    return end(value)
  }
  return events
}

async function* follow(
  open: Open,
  { signal: _, after, onConnection, ...query }: EventOptions,
  signal: AbortSignal,
): AsyncGenerator<GatewayEvent, void> {
  let last = after
  let pauseMs: number | undefined
  for (let attempt = 1; !signal.aborted; attempt++) {
    const connection = new AbortController()
    const stop = () => connection.abort()
    signal.addEventListener('abort', stop)
    let silence = setTimeout(stop, silentMs)
    let lost: unknown
    try {
      for await (const { id, data, retryMs } of blocksOf(await open(query, last, connection.signal), connection.signal)) {
        clearTimeout(silence)
        if (attempt > 0) onConnection?.(undefined)
        attempt = 0
        pauseMs = retryMs ?? pauseMs
        last = id ?? last
        if (data !== undefined) yield eventOf(data)
        silence = setTimeout(stop, silentMs)
      }
    } catch (error) {
      if (error instanceof GatewayProblem && error.retry === 'no') throw error
      lost = error
    } finally {
      clearTimeout(silence)
      signal.removeEventListener('abort', stop)
      connection.abort()
    }
    if (signal.aborted) return
    const problem = lost instanceof GatewayProblem ? lost : interrupted(lost)
    onConnection?.(problem)
    await wait(delayMs(Math.max(attempt, 1), problem.retryAfterMs ?? (attempt === 0 ? pauseMs : undefined)), signal).catch(() => {})
  }
}

function eventOf(data: string): GatewayEvent {
  try {
    return JSON.parse(data)
  } catch (cause) {
    const title = 'An event does not come from the gateway'
    throw new GatewayProblem({ code: 'unreadable-answer', title, outcome: 'not_applied', retry: 'no' }, { cause })
  }
}

const interrupted = (cause: unknown) =>
  new GatewayProblem({ code: 'stream-interrupted', title: 'The stream of events ended', outcome: 'not_applied', retry: 'yes' }, { cause })
