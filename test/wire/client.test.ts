import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { Client } from '../../src/afilnet/client.ts'
import { createLargeResponseSlots } from '../../src/afilnet/large-responses.ts'
import type { Operation } from '../../src/afilnet/operations.ts'
import type { TransportName } from '../../src/afilnet/transports.ts'
import { listen } from '../afilnet/listeners.ts'
import { account, authorization, formOf, type Transcript, transcripts } from './transcripts.ts'

/** Makes the call of a transcript against a server that answers by the book; returns what each side saw. */
async function make(transcript: Transcript, transport: TransportName) {
  const seen: { method: string; target: string; headers: Record<string, unknown>; body: string }[] = []
  const port = await listen(
    createServer(async (request, response) => {
      const { method = '', url: target = '', headers } = request
      seen.push({ method, target, headers, body: await text(request) })
      response.setHeader('content-type', 'text/html; charset=UTF-8').end(transcript.answer)
    }),
  )
  const url = new URL(`http://127.0.0.1:${port}/api/${transport === 'basic' ? 'basic' : 'http'}/`)
  const limits = { connections: 1, timeoutMs: 5000, lateMs: 0, maxResponseBytes: 65_536, largeResponseSlots: createLargeResponseSlots() }
  const client = new Client({ url, transport, ...account, ...limits })
  const operation: Operation = transcript.operation
  const rows = await client.call(operation, transcript.params, { caller: 'someone', timeoutMs: 5000 })
  await client.close()
  return { seen, rows, host: url.host }
}

const common = {
  connection: 'keep-alive',
  accept: 'application/json',
  'accept-encoding': 'identity',
  'user-agent': expect.stringMatching(/^afilnet-gateway\/\d/),
}

describe.for(transcripts)('our client, asking for $operation.method', transcript => {
  test('posts the form of the transcript and reads its answer', async () => {
    const { seen, rows, host } = await make(transcript, 'post')

    const body = formOf(transcript, true)
    expect(seen).toMatchObject([{ method: 'POST', target: '/api/http/', body }])
    expect(seen[0]?.headers).toEqual({
      ...common,
      host,
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
    })
    expect(rows).toEqual(transcript.rows)
  })

  test('posts it without the account over basic', async () => {
    const { seen, rows } = await make(transcript, 'basic')

    expect(seen).toMatchObject([{ method: 'POST', target: '/api/basic/', headers: { authorization }, body: formOf(transcript, false) }])
    expect(rows).toEqual(transcript.rows)
  })

  test('puts it into the query over get', async () => {
    const { seen, rows, host } = await make(transcript, 'get')

    expect(seen).toMatchObject([{ method: 'GET', target: `/api/http/?${formOf(transcript, true)}`, body: '' }])
    expect(seen[0]?.headers).toEqual({ ...common, host })
    expect(rows).toEqual(transcript.rows)
  })
})
