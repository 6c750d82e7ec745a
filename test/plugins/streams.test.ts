import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { streams } from '../../src/plugins/streams.ts'

test('A stream says nothing after its end, when its connection may be used for the next answer', async () => {
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(streams, { leaveDrain() {}, onSend: [] })
  app.get('/', (_, reply) => {
    reply.beginStream()
    reply.writeStream(Buffer.from('before'))
    reply.endStream()
    reply.writeStream(Buffer.from('after'))
  })
  const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))

  const socket = connect(Number(url.port), url.hostname)
  socket.end('GET / HTTP/1.1\r\nHost: gateway\r\n\r\n')
  const answer = await text(socket)

  expect(answer.slice(answer.indexOf('\r\n\r\n'))).toBe('\r\n\r\n6\r\nbefore\r\n0\r\n\r\n')
})
