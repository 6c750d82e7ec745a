import { hash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync, rmdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import type { Config } from '../../config/config.ts'
import { mediaIssueOf } from '../../config/describe.ts'
import { MediaStoreError } from '../../media/bytes.ts'
import { openBytes } from '../../media/open.ts'
import type { MediaPlace } from '../../media/place.ts'
import { urlOf } from '../../media/url.ts'
import type { MediaLedger, MediaRow } from '../../store/media.ts'
import { within } from '../../store/store.ts'
import type { Check } from './report.ts'

const section = 'media'
const verbMs = 5_000
const fetchMs = 10_000

/** What uploads would meet first of all. */
export function checkMediaUrl(config: Config): Check[] {
  const detail = mediaIssueOf(config)
  if (!detail) return []
  const todo = 'Set MEDIA_URL to where Afilnet reaches this gateway, if callers upload files'
  return [{ section, check: 'media-not-public', verdict: 'warning', detail, todo }]
}

/** Stores a probe file, fetches it through `MEDIA_URL` as Afilnet would, and deletes it again. */
export async function checkMedia({ media: { url, place } }: Config, ledger: MediaLedger): Promise<Check[]> {
  const named = { section, check: 'probe file' }
  if (!url) return [{ ...named, verdict: 'skipped', detail: 'not fetched: MEDIA_URL and PUBLIC_URL are not set' }]
  try {
    return [{ ...named, ...(await withProbe(place, ledger, (row, bytes) => fetchProbe(urlOf(url.href.replace(/\/$/, ''), row), bytes))) }]
  } catch (error) {
    if (!(error instanceof MediaStoreError)) throw error
    const todo =
      'Check MEDIA_STORE: the owner and free space of the folder, or the credentials, bucket and endpoint of S3 and the folder for temporary files. Uploads get 503 or 507'
    return [{ ...named, verdict: 'broken', detail: error.message, todo }]
  }
}

/** Has a file in the ledger and in the media store while `use` runs, and leaves both as they were. */
async function withProbe<T>(place: MediaPlace, ledger: MediaLedger, use: (row: MediaRow, bytes: Buffer) => Promise<T>): Promise<T> {
  const content = Buffer.from(`probe of the doctor ${randomUUID()}\n`)
  const now = Date.now()
  const names = { id: randomUUID(), token: randomBytes(32).toString('base64url'), owner: 'doctor', name: 'probe.txt' }
  const about = { type: 'document', contentType: 'text/plain', bytes: content.length, sha256: hash('sha256', content) }
  const row = { ...names, ...about, createdAt: now, expiresAt: now + 60_000 }
  const made = place.kind === 'folder' ? missing(place.path) : []
  const store = await openBytes(place)
  try {
    const draft = await store.draft(Readable.from([content]))
    await within(verbMs, ledger.add(row, Number.MAX_SAFE_INTEGER))
    await draft.commit(row.id)
    return await use(row, content)
  } finally {
    await within(verbMs, ledger.remove([row.id])).catch(() => {}) // the sweeper deletes it later
    await store.remove(row.id).catch(() => {})
    removeEmpty(made)
  }
}

/** A folder and those above it that are not there, it first: they are the gateway's to make, since the doctor may be another user. */
const missing = (folder: string): string[] => (existsSync(folder) ? [] : [folder, ...missing(dirname(folder))])

function removeEmpty(folders: string[]) {
  try {
    for (const folder of folders) rmdirSync(folder)
  } catch {} // a caller has stored something meanwhile
}

async function fetchProbe(url: string, expected: Buffer): Promise<Pick<Check, 'verdict' | 'detail' | 'todo' | 'facts'>> {
  const startedAt = performance.now()
  let status: number
  let bytes: Buffer
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(fetchMs) })
    status = response.status
    bytes = Buffer.from(await response.arrayBuffer())
  } catch (error) {
    const { code = 'timeout' } = ((error as Error).cause ?? {}) as { code?: string } // fetch throws errors only
    const detail = `a probe file could not be fetched through MEDIA_URL from this machine (${/^\w+$/.test(code) ? code : 'error'})`
    const todo =
      'Start the gateway. If it runs, check MEDIA_URL, its certificate and the firewall: Afilnet fetches GET /media/… from outside, without a key'
    return { verdict: 'warning', detail, todo }
  }
  const ms = Math.round(performance.now() - startedAt)
  if (status === 200 && bytes.equals(expected))
    return { verdict: 'ok', detail: `fetched through MEDIA_URL in ${ms} ms, and deleted`, facts: { ms, status } }
  return {
    verdict: 'broken',
    detail: `MEDIA_URL answers ${status}${status === 200 ? ' with other bytes than those' : ''} for a probe file that is stored, so Afilnet gets no files`,
    todo: 'Have the proxy pass /media/ on to this gateway. Check that both use the same STORE_URL and MEDIA_STORE, and that the doctor runs as the same user',
    facts: { ms, status },
  }
}
