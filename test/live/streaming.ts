import { connect } from 'node:net'
import { expect } from 'vitest'
import { canaries, type TestGateway } from '../gateway.ts'
import { blocksOf } from './delivery.ts'

/** A stream over a socket of its own: its head, its blocks so far, and whether the gateway has ended it. */
export function openStream(gateway: Pick<TestGateway, 'url'>, headers: Record<string, string> = {}, query = '') {
  const { hostname, port } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  const taken = { head: '', text: '', ended: false, socket, blocks: () => blocksOf(taken.text) }
  let bytes = Buffer.alloc(0)
  socket.on('data', chunk => {
    bytes = Buffer.concat([bytes, chunk])
    const end = bytes.indexOf('\r\n\r\n')
    taken.head = bytes.subarray(0, end).toString()
    let text = ''
    for (let at = end + 4; at < bytes.length; ) {
      const line = bytes.indexOf('\r\n', at)
      const length = Number.parseInt(bytes.subarray(at, line).toString(), 16)
      if (length === 0) taken.ended = true
      if (!(length > 0) || line + 2 + length > bytes.length) break
      text += bytes.subarray(line + 2, line + 2 + length)
      at = line + 4 + length
    }
    taken.text = text
  })
  socket.on('close', () => {
    taken.ended = true
  })
  socket.on('error', () => {})
  const lines = Object.entries({ host: 'gateway', authorization: `Bearer ${canaries.key}`, accept: 'text/event-stream', ...headers })
  socket.write(`GET /events${query} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  return taken
}

/** Resolves once the gateway has its baseline, so that what comes is new. */
export async function watching(gateway: TestGateway) {
  await expect
    .poll(
      async () =>
        (await (await fetch(`${gateway.adminUrl}/metrics`)).text()).match(
          /poll_duration_seconds_count\{account="default",result="ok"\} ([1-9])/,
        )?.[1],
      { timeout: 40_000, interval: 50 },
    )
    .toBeDefined()
}
