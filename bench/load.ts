import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { onCore } from './programs.ts'
import { type Ask, requestFor, type Target } from './target.ts'

/** What the loader counted; `failed` are answers other than 2xx, `broken` connections, times in milliseconds. */
export type Load = { requests: number; seconds: number; bytes: number; failed: number; broken: number; p50: number; p99: number }

type LoadOptions = { asks: readonly Ask[]; connections: number; seconds: number; folder: string }

/** Sends the asks in turn over so many connections, each with its next one as soon as it is answered. */
export async function load(target: Target, { asks, connections, seconds, folder }: LoadOptions): Promise<Load> {
  const file = join(folder, 'requests')
  writeFileSync(file, asks.map(ask => `${raw(ask, target)}\0`).join(''))
  const wrk = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout=10s', '-s', join(import.meta.dirname, 'load.lua')]
  const [program, ...args] = onCore('loader', [...wrk, target.url.origin, '--', file, randomUUID()])
  const { stdout } = await promisify(execFile)(program, args)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

function raw(ask: Ask, target: Target) {
  const { method, path, headers, body } = requestFor(ask, target)
  const length = body === '' ? {} : { 'content-length': Buffer.byteLength(body) }
  const lines = Object.entries({ host: target.url.host, ...headers, ...length }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}
