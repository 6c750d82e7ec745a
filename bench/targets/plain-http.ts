import { createServer, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { port } from './contract.ts'

// The fan-out alone: whoever posts an event has it written to every stream. It knows no keys, no filters, no cursors, no log and no Afilnet.

const streams = new Set<ServerResponse>()
const head = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }

createServer(async (request, response) => {
  if (request.method === 'POST') {
    const event = await text(request)
    const block = Buffer.from(`id: ${JSON.parse(event).id}\nevent: message.created\ndata: ${event}\n\n`)
    for (const stream of streams) stream.write(block)
    response.end()
    return
  }
  if (request.headers.accept !== 'text/event-stream') return void response.end()
  response.writeHead(200, head).write('retry: 3000\n\n')
  streams.add(response)
  response.on('close', () => streams.delete(response))
}).listen(port, '127.0.0.1')
