import { type ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http'
import { gzipSync } from 'node:zlib'

export type Fault = keyof typeof faults

/**
 * What the next matching call gets instead of, or on top of, its regular answer.
 *
 * `takes` says whether the call has its effect first: by default yes, except before a literal answer (`status` or `body`) and before `reset`.
 */
export type ScriptedResponse = {
  times?: number
  method?: string
  destination?: string
  takes?: boolean
  status?: number
  headers?: Record<string, string>
  body?: string | Uint8Array
  fault?: Fault
  delayMs?: number
  /** The answer waits until this resolves, in the hands of the process that started the sandbox. */
  held?: Promise<unknown>
}

/** One open call, as a fault needs it. */
export type OpenCall = {
  body: Buffer
  /** Writes the head: with a length, or chunked without. */
  begin(length?: number, headers?: Record<string, string>): ServerResponse
  finish(body: Buffer | string): void
  /** Closes the connection, after writing these bytes past HTTP. */
  hangUp(last?: string): void
  reset(): void
}

/** Throws where HTTP cannot carry these headers. */
export function assertHeaders(headers: Record<string, string>) {
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderName(name)
    validateHeaderValue(name, value)
  }
}

const page = '<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>We will be back shortly</h1></body></html>\n'
const filler = Buffer.alloc(65_536, ' ')
/** 64 MiB in as many members of gzip: one large member would take a second to make. */
let bomb: Buffer | undefined

/** Every fault by its name. All but `reset` come after the request was read. */
export const faults = {
  silent: () => {},
  stall: ({ begin, body }) => begin(body.length).flushHeaders(),
  drop: ({ hangUp }) => hangUp(),
  reset: ({ reset }) => reset(),
  html: ({ finish }) => finish(page),
  empty: ({ finish }) => finish(''),
  ssh: ({ hangUp }) => hangUp('SSH-2.0-OpenSSH_9.2\r\n'),

  // The JSON itself is whole: only a client that counts can tell.
  truncated: ({ begin, body, hangUp }) => {
    begin(body.length + 64).write(body, () => hangUp())
  },

  'two-lengths': ({ body, hangUp }) => {
    const lengths = [body.length, body.length + 7].map(length => `Content-Length: ${length}\r\n`).join('')
    hangUp(`HTTP/1.1 200 OK\r\nX-Sandbox: true\r\nContent-Type: text/html; charset=UTF-8\r\n${lengths}\r\n${body}`)
  },

  'gzip-bomb': ({ begin }) => {
    bomb ??= Buffer.concat(new Array(64).fill(gzipSync(Buffer.alloc(1_048_576), { level: 9 })))
    begin(bomb.length, { 'content-encoding': 'gzip' }).end(bomb)
  },

  drip: ({ begin, body }) => {
    const response = begin(body.length)
    let at = 0
    const next = () => {
      response.write(body.subarray(at, ++at))
      if (at < body.length) return
      clearInterval(timer)
      response.end()
    }
    const timer = setInterval(next, 1000)
    response.on('close', () => clearInterval(timer))
    next()
  },

  endless: ({ begin }) => {
    const response = begin()
    const more = () => {
      while (!response.destroyed && response.write(filler));
    }
    // A drain is announced before the event loop turns: without setImmediate a fast reader would starve all other work.
    response.on('drain', () => setImmediate(more))
    more()
  },
} satisfies Record<string, (exchange: OpenCall) => void>
