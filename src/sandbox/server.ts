import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

type Listener = { port: number; close(): Promise<void> }

/** Answers that node:http would give without the mark of the sandbox. */
const refusals: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

const refuse = (socket: Duplex, status: string) => {
  if (!socket.writable) return socket.destroy()
  return socket.end(`HTTP/1.1 ${status}\r\nX-Sandbox: true\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
}

/** Answers with one line of text. */
export function plain(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff', ...headers })
  response.end(`${text}\n`)
}

/** Runs `then` after a while, which begins once `held` resolves, unless the caller has left by then. */
export function after(delayMs: number, held: Promise<unknown> | undefined, response: ServerResponse, then: () => void) {
  if (held) {
    void held.then(() => response.destroyed || after(delayMs, undefined, response, then))
    return
  }
  if (delayMs <= 0) return then()
  const timer = setTimeout(then, delayMs)
  response.once('close', () => clearTimeout(timer))
}

/** The whole body, or `undefined` when it is longer than `maxBytes`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= maxBytes) chunks.push(chunk)
  }
  return length <= maxBytes ? Buffer.concat(chunks) : undefined
}

/** Listens, and marks every answer with `X-Sandbox: true`, those to malformed requests included. */
export async function listen(handler: Handler, host: string, port: number): Promise<Listener> {
  const sockets = new Set<Socket>()
  const server = createServer({ requireHostHeader: false, maxHeaderSize: 65_536 })

  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('request', async (request, response) => {
    response.setHeader('X-Sandbox', 'true')
    response.on('error', () => {}) // written to after the caller left
    try {
      await handler(request, response)
    } catch {
      // A caller that left while its body was being read ends here too.
      if (!response.headersSent && !response.destroyed) plain(response, 500, 'The sandbox itself failed')
    }
  })
  server.on('checkExpectation', (_request, response) => plain(response, 417, 'Only 100-continue can be expected', { 'X-Sandbox': 'true' }))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(socket, refusals[error.code ?? ''] ?? '400 Bad Request'))
  server.on('connect', (_request, socket) => refuse(socket, '404 Not Found'))

  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  return {
    port: (server.address() as AddressInfo).port, // a listening TCP server has one
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
