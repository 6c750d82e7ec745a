import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { deflateSync, gzipSync } from 'node:zlib'
import { describe, expect } from 'vitest'
import { listen } from '../afilnet/listeners.ts'
import { buildBundle } from '../bundle.ts'
import { test } from '../gateway.ts'
import { startProgram } from '../program.ts'

const megabyte = 1_048_576
const list = (items: string) => `{"status":"SUCCESS","result":{"list":[${items}]}}`
const filled = (item: string) =>
  list(
    Array(Math.floor(megabyte / (item.length + 1)))
      .fill(item)
      .join(','),
  )
const row = JSON.stringify({ message: 'x'.repeat(200), messageid: '1', datetime: '2026-01-31 09:30:00', status: 'READ' })

const plain =
  (body: string | Buffer, headers = '') =>
  (socket: Socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n`)
    socket.write(body)
  }

/** Each sends about a megabyte. */
const shapes: [name: string, respond: (socket: Socket) => void][] = [
  ['rows', plain(filled(row))],
  ['rows without a field', plain(filled('{}'))],
  ['rows of many fields', plain(filled(JSON.stringify(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, i])))))],
  ['items that are no rows', plain(filled('1'))],
  ['brackets', plain('['.repeat(megabyte))],
  ['a tree', plain(list('[{"a":'.repeat(megabyte / 8)))],
  ['one text', plain(list(`{"message":"${'x'.repeat(megabyte)}"}`))],
  ['text that is not ASCII', plain(filled(JSON.stringify({ message: 'ñ€👍'.repeat(10) })))],
  ['rows that each have half of a surrogate pair', plain(filled('{"message":"\\ud800"}'))],
  [
    'rows in an object',
    plain(list('').replace('[]', `{${Array.from({ length: 36_000 }, (_, i) => `"${i}":{"messageid":"${i}"}`).join()}}`)),
  ],
  ['a row of many members', plain(list(`{${Array.from({ length: 80_000 }, (_, i) => `"m${i}":0`).join()}}`))],
  ['long numbers in a row', plain(list(`{"more":[${'9007199254740993,'.repeat(megabyte / 17)}1]}`))],
  ['empty arrays in a row', plain(list(`{"more":[${'[],'.repeat(megabyte / 3)}[]]}`))],
  ['objects in a row', plain(list(`{"more":[${'{"a":{"b":{}}},'.repeat(megabyte / 15)}{}]}`))],
  [
    'rows of other names each',
    plain(list(Array.from({ length: 700 }, (_, i) => `{${Array.from({ length: 100 }, (_, j) => `"n${i * 100 + j}":1`).join()}}`).join())),
  ],
  ['zeros in gzip', plain(gzipSync(Buffer.alloc(64 * megabyte)), 'Content-Encoding: gzip\r\n')],
  ['rows in deflate', plain(deflateSync(filled('{}')), 'Content-Encoding: deflate\r\n')],
  [
    'chunks of one byte',
    socket => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const chunks = [...Buffer.from(filled(row).slice(0, megabyte / 4))].map(byte => `1\r\n${String.fromCharCode(byte)}\r\n`).join('')
      socket.write(`${chunks}0\r\n\r\n`)
    },
  ],
]

const entry = buildBundle()

describe('Ten answers of a megabyte at one time', () => {
  // On a busy machine, V8 collects later.
  test.for(shapes)('stay below 300 MB: %s', { retry: 2 }, async ([, respond], { sandbox }) => {
    const port = await listen(createServer(socket => void socket.on('error', () => {}).on('data', () => respond(socket))))
    const env = {
      NODE_OPTIONS: '--max-semi-space-size=16',
      AFILNET_URL: `http://127.0.0.1:${port}/api/http/`,
      AFILNET_TIMEOUT_MS: '30000',
    }
    const gateway = await startProgram(sandbox, env, entry)
    const peakMb = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) / 1024

    for (let round = 0; round < 3; round++) {
      await Promise.all(
        Array.from({ length: 10 }, (_, i) => gateway.get(`/chats/whatsapp/100/3460000000${i}/${i < 5 ? 'messages' : 'unread'}`)),
      )
    }

    expect(peakMb()).toBeLessThan(300)
    expect((await gateway.get('/health/live')).status).toBe(200)
  })
})
