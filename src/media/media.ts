import { randomBytes, randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Observe } from '../events.ts'
import { loadOnce } from '../lib/load-once.ts'
import { Problem } from '../problem/problem.ts'
import type { MediaLedger, MediaRow } from '../store/media.ts'
import { asProblem, type MediaBytes } from './bytes.ts'
import { cleanName, type MediaType } from './content.ts'
import type { Form, FormParts, Upload } from './form.ts'
import { inTime } from './in-time.ts'
import type { MediaPlace } from './place.ts'
import { reportingFailures, resultOf } from './reporting.ts'
import { createSweeper } from './sweeper.ts'
import { checkLength, createUploadSlots, isKeyed } from './upload-limits.ts'
import { tokenIn } from './url.ts'

type MediaOptions = { place: MediaPlace; maxBytes: number; maxTotalBytes: number; keepMs: number; url?: URL } & {
  ledger: MediaLedger
  /** Where this process listens: good enough for an Afilnet on the same machine. */
  ownUrl: () => string | undefined
  /** How long an upload may take in all, and without a byte. */
  uploadMs: number
  stallMs: number
  observe: Observe
  now?: () => number
}

/** The conversation and the send that files are made for. */
type Purpose = Pick<MediaRow, 'platform' | 'platformId' | 'destination' | 'sendId'>
type Stored = { type: MediaType; upload: Upload }

const fetchMs = 3_600_000 // as long as MEDIA_KEEP_HOURS is at least

/** Files of callers: their rows are in the ledger, their bytes in the media store, which is opened with the first of them. */
export class Media {
  readonly #options: MediaOptions & { now: () => number }
  readonly #enter = createUploadSlots()
  readonly #usage = { files: 0, bytes: 0 }
  readonly #open: () => Promise<MediaBytes>
  readonly #publicUrl: string | undefined
  readonly sweep: (isStart?: boolean) => Promise<void>

  constructor(options: MediaOptions) {
    this.#options = { now: Date.now, ...options }
    this.#publicUrl = options.url?.href.replace(/\/$/, '')
    const { ledger, place, observe, now } = this.#options
    const open = loadOnce(async () => (await import('./open.ts')).openBytes(place))
    this.#open = reportingFailures(open, observe)
    this.sweep = createSweeper({ ledger, place, open, observe, now })
  }

  /** Reports a folder that uploads need and this process cannot write to; it is not refused, since all else works without it. */
  async checkFolder(): Promise<void> {
    const fault = await (await import('./open.ts')).folderFault(this.#options.place)
    if (fault) this.#options.observe('mediaFolderNotWritable', fault)
  }

  /** Where Afilnet can fetch files; throws `media-not-public`. */
  baseFor(isLocal: boolean): string {
    const base = this.#publicUrl ?? (isLocal ? this.#options.ownUrl() : undefined)
    if (base === undefined) throw new Problem('media-not-public')
    return base
  }

  /**
   * Reads a form as it arrives; it counts as one that arrives until it is discarded. Throws `media-full`, `payload-too-large`,
   * `request-timeout`, `invalid-request` and `overloaded`.
   */
  async readForm(source: Readable, headers: IncomingHttpHeaders, caller: string, parts: FormParts): Promise<Form> {
    const { maxBytes, uploadMs: totalMs, stallMs } = this.#options
    const leave = this.#enter(caller)
    try {
      await checkLength(headers, parts.files.length, this.#options)
      const { readForm } = await import('./form.ts')
      const store = { draft: async (file: Readable) => (await this.#open()).draft(file) }
      const limits = { maxBytes, totalMs, stallMs, mayRepeat: isKeyed(headers) }
      const form = await readForm(source, headers, { store, ...parts, ...limits })
      return { ...form, discard: () => form.discard().finally(leave) }
    } catch (error) {
      leave()
      this.#options.observe('uploadEnded', { result: resultOf(error), bytes: 0 })
      throw error
    }
  }

  /** Stores files that have arrived: all of them, or none. Throws `media-full` and `store-unavailable`. */
  async keep(owner: string, uploads: readonly Stored[], purpose: Purpose = {}): Promise<MediaRow[]> {
    const rows: MediaRow[] = []
    try {
      for (const { type, upload } of uploads) {
        const { bytes, sha256, contentType } = upload
        const createdAt = this.#options.now()
        const names = { id: randomUUID(), token: randomBytes(32).toString('base64url'), owner, ...purpose, name: cleanName(upload.name) }
        const row = { ...names, type, contentType, bytes, sha256, createdAt, expiresAt: createdAt + this.#options.keepMs }
        if (!(await inTime(this.#options.ledger.add(row, this.#options.maxTotalBytes)))) throw new Problem('media-full')
        rows.push(row)
        await upload.commit(row.id)
      }
      for (const { upload } of uploads) upload.isKept = true
      this.#options.observe('uploadEnded', { result: 'stored', bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) })
      return rows
    } catch (error) {
      await this.discard(rows)
      throw asProblem(error)
    }
  }

  /** Deletes files; what cannot be deleted now, the sweeper does. */
  async discard(rows: readonly MediaRow[]): Promise<void> {
    if (rows.length === 0) return
    await inTime(this.#options.ledger.remove(rows.map(({ id }) => id))).catch(() => {})
    await this.#removeBytes(rows)
  }

  /** Deletes what only this send uses, which was not delivered; what cannot be deleted goes when it expires. */
  async discardOf(sendId: string): Promise<void> {
    const ids = await inTime(this.#options.ledger.removeOf(sendId)).catch(() => [])
    await this.#removeBytes(ids.map(id => ({ id })))
  }

  /** A file of this owner; throws `media-not-found`. */
  async find(owner: string, id: string): Promise<MediaRow> {
    const row = await inTime(this.#options.ledger.find(id))
    if (row?.owner !== owner) throw new Problem('media-not-found')
    return row
  }

  /** Deletes a file of this owner, its row first: what is gone is not served. */
  async remove(owner: string, id: string): Promise<void> {
    const row = await this.find(owner, id)
    await inTime(this.#options.ledger.remove([row.id]))
    await this.#removeBytes([row])
  }

  /** The file behind a URL of this gateway, for any send; `undefined` if the URL is not one. Throws `media-not-found` where its owner has no such file. */
  async fileAt(url: string, owner: string): Promise<MediaRow | undefined> {
    const bases = [this.#publicUrl, this.#options.ownUrl()].filter(base => base !== undefined)
    const token = tokenIn(url, bases)
    if (token === undefined) return undefined
    const row = token === '' ? undefined : await inTime(this.#options.ledger.findByToken(token))
    const isTheirs = row?.owner === owner && (row.sendId === undefined || (await inTime(this.#options.ledger.share(row.id))))
    if (!isTheirs) throw new Problem('media-not-found', { status: 422 })
    return row
  }

  /** The file behind the secret part of a URL; throws `media-not-found`. */
  async open(token: string): Promise<MediaRow> {
    const row = /^[\w-]{43}$/.test(token) ? await inTime(this.#options.ledger.findByToken(token)) : undefined
    if (!row) throw new Problem('media-not-found')
    return row
  }

  async read({ id }: MediaRow, range: { start: number; end: number }): Promise<Readable> {
    try {
      const bytes = await (await this.#open()).read(id, range)
      if (bytes) return bytes
    } catch (error) {
      throw asProblem(error)
    }
    throw new Problem('media-not-found')
  }

  /** To call when the media store gives more or fewer bytes of a file than its row says. */
  lengthDiffers() {
    this.#options.observe('mediaStoreFailed', { verb: 'read', fault: 'WrongLength' })
  }

  /** Has files live until Afilnet has had the time to fetch them for a send that ends then. */
  async keepForSend(rows: readonly MediaRow[], endsAt: number): Promise<void> {
    const ids = rows.map(({ id }) => id)
    if (ids.length > 0) await inTime(this.#options.ledger.keepUntil(ids, endsAt + fetchMs))
  }

  /** To call when a request whose form has arrived ends with an error. */
  async formFailed(form: Form, error: unknown) {
    await form.discard()
    const isStored = Object.values(form.files).some(({ isKept }) => isKept)
    if (!isStored) this.#options.observe('uploadEnded', { result: resultOf(error), bytes: 0 })
  }

  /** What was stored when this was last called, for metrics: they do not wait for the ledger. */
  report(): { files: number; bytes: number; maxBytes: number } {
    const { ledger, maxTotalBytes: maxBytes } = this.#options
    const noted = ledger.usage().then(usage => Object.assign(this.#usage, usage))
    noted.catch(() => {})
    return { ...this.#usage, maxBytes }
  }

  async #removeBytes(rows: readonly Pick<MediaRow, 'id'>[]) {
    await Promise.allSettled(rows.map(async ({ id }) => (await this.#open()).remove(id)))
  }
}
