import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import type { Sent } from '../../src/sandbox/world.ts'
import { keys } from './configuration.ts'
import { cutOff, fileOf, formOf, sha256 } from './files.ts'
import { metGap } from './invariants.ts'
import type { Scenario } from './scenarios.ts'
import type { Setup } from './setup.ts'

/** Fetches what Afilnet was told to fetch, as it would; gives each file that is not what its caller has sent. */
export async function wrongFiles({ witness, ledgerGaps }: Setup, scenarios: readonly Scenario[], sent: readonly Sent[]): Promise<string[]> {
  const withFiles = scenarios.filter(({ kind }) => kind === 'form' || kind === 'stored')
  const uploaded = new Set(withFiles.filter(scenario => !metGap(scenario, ledgerGaps)).map(({ destination }) => destination))
  const broken: string[] = []
  for (const { destination, fileurl = '' } of sent) {
    if (!uploaded.has(destination)) continue
    const reply = await fetch(witness.url() + new URL(fileurl).pathname)
    const bytes = Buffer.from(await reply.arrayBuffer())
    if (reply.status !== 200 || sha256(bytes) !== sha256(fileOf(destination)))
      broken.push(`a file arrives as it was sent: ${destination} is ${reply.status} with ${bytes.length} bytes`)
  }
  return broken
}

/** Parts of files that still arrive, by the process that writes them. */
function partsIn(folder: string | undefined, pid?: number): string[] {
  try {
    return readdirSync(folder ?? '').filter(name => name.endsWith('.part') && (pid === undefined || name.startsWith(`${pid}-`)))
  } catch {
    return [] // no file has come yet, or they go to a bucket
  }
}

/** Waits for partial files to go; gives those that stay. */
export async function partsLeft(folder: string | undefined, pid?: number): Promise<string[]> {
  for (const until = Date.now() + 20_000; Date.now() < until && partsIn(folder, pid).length > 0; ) await sleep(100)
  return partsIn(folder, pid).map(name => `no partial file stays: ${name}`)
}

/** Kills a gateway while a file arrives; gives the parts of it that are there once the gateway is back. */
export async function killInUpload({ victim, mediaFolder }: Setup): Promise<string[]> {
  const pid = victim.pid()
  const abort = new AbortController()
  const { body, contentType } = formOf('cut off by kill -9')
  const headers = { authorization: `Bearer ${keys.shop}`, 'content-type': contentType }
  const cut = cutOff(body, abort.signal, 0.9)
  const upload = request(`${victim.url()}/media`, { method: 'POST', headers, body: cut, signal: abort.signal })
  const ended = upload.catch(() => undefined)
  for (const until = Date.now() + 1_000; Date.now() < until && partsIn(mediaFolder, pid).length === 0; ) await sleep(10)
  await victim.stop('SIGKILL')
  abort.abort()
  await ended
  await victim.start()
  return partsLeft(mediaFolder, pid)
}
