import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, GatewayProblem } from '../../../client/src/client.ts'

const kept = 1_000
const keptCharacters = 4_194_304
const maxWaitingBytes = 1_048_576
const againMs = 5_000

/** One stream of the whole account, however many pages listen: pages that come back continue where they were. */
export function createAccountStream(gateway: Client) {
  const pages = new Set<ServerResponse>()
  const recent: { id: string; block: string }[] = []
  const stopped = new AbortController()
  let characters = 0 // of the recent blocks
  let state = 'connecting'

  const write = (page: ServerResponse, block: string) => {
    if (page.writableLength > maxWaitingBytes)
      page.destroy() // it does not read; it may come back
    else page.write(block)
  }
  const say = (next: string) => {
    state = next
    for (const page of pages) write(page, stateBlock(state))
  }

  async function follow() {
    const onConnection = (problem?: GatewayProblem) => say(problem ? problem.code : 'live')
    for await (const event of gateway.events({ signal: stopped.signal, onConnection })) {
      const block = `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`
      recent.push({ id: event.id, block })
      characters += block.length
      while (recent.length > kept || characters > keptCharacters) characters -= recent.shift()?.block.length ?? 0
      for (const page of pages) write(page, block)
    }
  }
  /** What the client gives up on may change: a reload of the gateway can give the key a scope, say. */
  async function keepFollowing() {
    while (!stopped.signal.aborted) {
      await follow().catch(error => say(error instanceof GatewayProblem ? error.code : 'failed'))
      await sleep(againMs, undefined, { signal: stopped.signal }).catch(() => {})
    }
  }
  void keepFollowing()
  const heartbeat = setInterval(() => pages.forEach(page => void write(page, ': here\n\n')), 15_000)

  return {
    join(request: IncomingMessage, response: ServerResponse) {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
      const last = request.headers['last-event-id']
      const index = recent.findIndex(({ id }) => id === last)
      response.write(`retry: 2000\n${stateBlock(state)}`)
      if (last !== undefined && index === -1)
        response.write('event: reset\ndata: {}\n\n') // too long ago: the page reads its lists again
      else if (last !== undefined) for (const { block } of recent.slice(index + 1)) response.write(block)
      pages.add(response)
      response.on('close', () => pages.delete(response))
    },
    close() {
      stopped.abort()
      clearInterval(heartbeat)
    },
  }
}

const stateBlock = (state: string) => `event: state\ndata: ${JSON.stringify({ state })}\n\n`
