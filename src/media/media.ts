import { randomBytes, randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { type Observe, unobserved } from '../events.ts'
import { Problem } from '../problem/problem.ts'
import type { MediaLedger, MediaRow } from '../store/media.ts'
import { StoreUnavailableError, within } from '../store/store.ts'
import type { MediaBytes } from './bytes.ts'
import { cleanName, type MediaType } from './content.ts'
import type { Form, Upload } from './form.ts'
import type { MediaPlace } from './place.ts'
import { createSweeper } from './sweeper.ts'

export type MediaConfig = { place: MediaPlace; maxBytes: number; maxTotalBytes: number; keepMs: number; url?: URL }

export type MediaOptions = MediaConfig & {
  ledger: MediaLedger
  /** Where this process listens: good enough for an Afilnet on the same machine. */
  ownUrl: () => string | undefined
  uploadMs?: number | undefined
  stallMs?: number | undefined
  observe?: Observe
  now?: () => number
}

/** The conversation that files are made for. */
type Chat = Pick<MediaRow, 'platform' | 'platformId' | 'destination'>
type Stored = { type: MediaType; upload: Upload }

const storeMs = 2_000
const maxUploads = 64
const formBytes = 131_072 // what a form has beside its files, at most

/** Files of callers: their rows are in the ledger, their bytes in the media store, which is opened with the first of them. */
export class Media {
  readonly maxBytes: number
  readonly #options: MediaOptions
  readonly #observe: Observe
  readonly #now: () => number
  readonly #uploads = new Map<string, number>()
  #bytes: Promise<MediaBytes> | undefined
  readonly sweep: (isStart?: boolean) => Promise<void>

  constructor(options: MediaOptions) {
    this.#options = options
    this.maxBytes = options.maxBytes
    this.#observe = options.observe ?? unobserved
    this.#now = options.now ?? Date.now
    const { ledger, place } = options
    this.sweep = createSweeper({ ledger, place, open: () => this.#open(), observe: this.#observe, now: this.#now })
  }

  /** Where Afilnet can fetch files; throws `media-not-public`. */
  baseFor(isLocal: boolean): string {
    const base = this.#bases().at(0) ?? (isLocal ? this.#options.ownUrl() : undefined)
    if (base === undefined) throw new Problem('media-not-public')
    return base
  }

  /** Reads a form as it arrives. Throws `media-full`, `payload-too-large`, `request-timeout`, `invalid-request` and `overloaded`. */
  async readForm(
    source: Readable,
    headers: IncomingHttpHeaders,
    caller: string,
    parts: Record<'fields' | 'files', readonly string[]>,
  ): Promise<Form> {
    const { maxBytes, maxTotalBytes, ledger, uploadMs = 300_000, stallMs = 15_000 } = this.#options
    const own = this.#uploads.get(caller) ?? 0
    const all = [...this.#uploads.values()].reduce((sum, count) => sum + count, 0)
    if (all >= maxUploads || own >= maxUploads / 2) throw new Problem('overloaded', { detail: 'Too many files arrive at this time.' })
    this.#uploads.set(caller, own + 1)
    try {
      const { bytes } = await known(ledger.usage())
      if (bytes + Number(headers['content-length'] ?? 0) - formBytes > maxTotalBytes) throw new Problem('media-full')
      const { readForm, asProblem } = await import('./form.ts')
      const store = await this.#open().catch(error => {
        throw asProblem(error)
      })
      return await readForm(source, headers, { store, ...parts, maxBytes, totalMs: uploadMs, stallMs })
    } finally {
      const left = (this.#uploads.get(caller) ?? 1) - 1
      if (left > 0) this.#uploads.set(caller, left)
      else this.#uploads.delete(caller)
    }
  }

  /** Stores files that have arrived: all of them, or none. Throws `media-full` and `store-unavailable`. */
  async keep(owner: string, uploads: readonly Stored[], chat: Chat = {}): Promise<MediaRow[]> {
    const rows: MediaRow[] = []
    try {
      for (const { type, upload } of uploads) {
        const { bytes, sha256, contentType } = upload
        const createdAt = this.#now()
        const names = { id: randomUUID(), token: randomBytes(32).toString('base64url'), owner, ...chat, name: cleanName(upload.name) }
        const row = { ...names, type, contentType, bytes, sha256, createdAt, expiresAt: createdAt + this.#options.keepMs }
        if (!(await known(this.#options.ledger.add(row, this.#options.maxTotalBytes)))) throw new Problem('media-full')
        rows.push(row)
        await upload.commit(row.id)
        this.#observe('mediaStored', { bytes })
      }
      return rows
    } catch (error) {
      await this.discard(rows)
      throw (await import('./form.ts')).asProblem(error)
    }
  }

  /** Deletes files; what cannot be deleted now, the sweeper does. */
  async discard(rows: readonly MediaRow[]): Promise<void> {
    if (rows.length === 0) return
    await known(this.#options.ledger.remove(rows.map(({ id }) => id))).catch(() => {})
    await this.#removeBytes(rows)
  }

  /** A file of this owner; throws `media-not-found`. */
  async find(owner: string, id: string): Promise<MediaRow> {
    const row = await known(this.#options.ledger.find(id))
    if (row?.owner !== owner) throw new Problem('media-not-found')
    return row
  }

  /** Deletes a file of this owner, its row first: what is gone is not served. */
  async remove(owner: string, id: string): Promise<void> {
    const row = await this.find(owner, id)
    await known(this.#options.ledger.remove([row.id]))
    await this.#removeBytes([row])
  }

  /** The file behind a URL of this gateway; `undefined` if the URL is not one. Throws `media-not-found` where its owner has no such file. */
  async fileAt(url: string, owner: string): Promise<MediaRow | undefined> {
    const bases = [...this.#bases(), this.#options.ownUrl()].filter(base => base !== undefined)
    const base = bases.find(base => url.startsWith(`${base}/media/`))
    if (base === undefined) return undefined
    const token = /^[\w-]{43}(?=\/[^/?#]+$)/.exec(url.slice(base.length + '/media/'.length))?.[0]
    const row = token === undefined ? undefined : await known(this.#options.ledger.findByToken(token))
    if (row?.owner !== owner) throw new Problem('media-not-found', { status: 422 })
    return row
  }

  /** The file behind the secret part of a URL; throws `media-not-found`. */
  async open(token: string): Promise<MediaRow> {
    const row = /^[\w-]{43}$/.test(token) ? await known(this.#options.ledger.findByToken(token)) : undefined
    if (!row) throw new Problem('media-not-found')
    return row
  }

  async read({ id }: MediaRow, range: { start: number; end: number }): Promise<Readable> {
    const { asProblem } = await import('./form.ts')
    try {
      const bytes = await (await this.#open()).read(id, range)
      if (bytes) return bytes
    } catch (error) {
      throw asProblem(error)
    }
    throw new Problem('media-not-found')
  }

  /** Has files live at least until then: a send that waits in a queue needs them. */
  keepUntil = (ids: readonly string[], until: number): Promise<void> => known(this.#options.ledger.keepUntil(ids, until))

  usage = () => this.#options.ledger.usage()

  /** The longest-lived name first. */
  #bases(): string[] {
    const { url } = this.#options
    return url ? [url.href.replace(/\/$/, '')] : []
  }

  #open(): Promise<MediaBytes> {
    this.#bytes ??= import('./open.ts')
      .then(({ openBytes }) => openBytes(this.#options.place))
      .catch(error => {
        this.#bytes = undefined // tried again with the next file
        throw error
      })
    return this.#bytes
  }

  async #removeBytes(rows: readonly MediaRow[]) {
    await Promise.allSettled(rows.map(async ({ id }) => (await this.#open()).remove(id)))
  }
}

/** The public URL of a file. */
export const urlOf = (base: string, { token, name }: MediaRow) => `${base}/media/${token}/${encodeURIComponent(name)}`

/** What the ledger knows, in time. */
async function known<T>(verb: Promise<T>): Promise<T> {
  try {
    return await within(storeMs, verb)
  } catch (error) {
    throw error instanceof StoreUnavailableError ? new Problem('store-unavailable', { cause: error }) : error
  }
}
