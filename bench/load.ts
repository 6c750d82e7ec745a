import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Ask, type Endpoint, requestFor } from './endpoint.ts'
import { onCore } from './programs.ts'

/** What the loader counted; `failed` are answers other than 2xx, `broken` connections, times in milliseconds. */
export type Load = { requests: number; seconds: number; bytes: number; failed: number; broken: number; p50: number; p99: number }

type LoadOptions = { asks: readonly Ask[]; connections: number; seconds: number; folder: string }

/** Sends the asks in turn over so many connections, each with its next one as soon as it is answered. */
export async function load(endpoint: Endpoint, { asks, connections, seconds, folder }: LoadOptions): Promise<Load> {
  const file = join(folder, 'requests')
  writeFileSync(file, asks.map(ask => `${raw(ask, endpoint)}\0`).join(''))
  const wrk = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout=10s', '-s', join(import.meta.dirname, 'load.lua')]
  const [program, ...args] = onCore('loader', [...wrk, endpoint.url.origin, '--', file, randomUUID()])
  const { stdout } = await promisify(execFile)(program, args)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

function raw(ask: Ask, endpoint: Endpoint) {
  const { method, path, headers, body } = requestFor(ask, endpoint)
  const length = body === '' ? {} : { 'content-length': Buffer.byteLength(body) }
  const lines = Object.entries({ host: endpoint.url.host, ...headers, ...length }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
