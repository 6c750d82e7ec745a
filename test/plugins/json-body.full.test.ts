import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, onTestFinished } from 'vitest'
import { canaries, test } from '../gateway.ts'
import { startProgram } from '../program.ts'

const connections = 24
const bytes = 60_000

describe('Bodies that come one byte at a time', () => {
  test('take no more memory than their bytes', async ({ sandbox }) => {
    // With 170 bytes for each, the chunks of all bodies would be 245 MB, and the process would end.
    const gateway = await startProgram(sandbox, { NODE_OPTIONS: '--max-old-space-size=128' })
    const head = `POST /chats/whatsapp/100/34600000000/messages HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`
    const start = '{"message":"'
    const text = 'x'.repeat(bytes)
    const chunked = (text: string) => text.replace(/./g, '1\r\n$&\r\n')
    const { hostname, port } = new URL(gateway.url)
    const sockets = await Promise.all(
      Array.from({ length: connections }, async () => {
        const socket = connect(Number(port), hostname)
        onTestFinished(() => void socket.destroy())
        await new Promise(resolve => socket.write(head + chunked(start + text), resolve))
        return socket
      }),
    )
    expect(await gateway.get('/channels')).toMatchObject({ status: 200 })

    for (const socket of sockets) socket.write(`${chunked('"}')}0\r\n\r\n`)
    const answers = await Promise.all(sockets.map(async socket => String((await once(socket, 'data'))[0])))

    expect(answers.map(answer => answer.slice(0, 12))).toEqual(Array(connections).fill('HTTP/1.1 201'))
    expect(sandbox.sent.map(({ message }) => message)).toEqual(Array(connections).fill(text))
  })
})
