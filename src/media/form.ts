import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { Busboy, type BusboyFileStream } from '@fastify/busboy'
import { CollectedBytes } from '../lib/collected-bytes.ts'
import { escaped, invalidBody } from '../problem/invalid-request.ts'
import { Problem } from '../problem/problem.ts'
import { asProblem, type Draft, type MediaBytes, MediaStoreError } from './bytes.ts'
import { contentTypeOf } from './content.ts'
import { createMeter } from './meter.ts'

/** A file that has arrived, and what it is. */
export type Upload = Draft & { bytes: number; sha256: string; contentType: string; name: string | undefined; isKept: boolean }

/** A form that has arrived as a whole; `discard` deletes what was not committed. */
export type Form = { fields: Record<string, string>; files: Record<string, Upload>; discard(): Promise<void> }

/** The names of its texts and of its files: any other is refused. */
export type FormParts = { fields: readonly string[]; files: readonly string[] }

type FormOptions = FormParts & {
  store: Pick<MediaBytes, 'draft'>
  maxBytes: number
  /** How long it may take in all, and how long no byte may come. */
  totalMs: number
  stallMs: number
  /** A send with this form may have been made before: then its files need no store, only their digests. */
  mayRepeat?: boolean
}

const maxTextBytes = 65_536

/** Reads a form of texts and files in any order. The bytes of a file pass from the connection to the store; what is refused leaves nothing there. */
export async function readForm(source: Readable, headers: IncomingHttpHeaders, options: FormOptions): Promise<Form> {
  const form: Form = { fields: Object.create(null), files: Object.create(null), discard: () => discardAll(form) }
  const parser = openParser(headers, options)
  const { promise: failed, reject: fail } = Promise.withResolvers<never>()
  failed.catch(() => {}) // it may fail after all has been read
  const parts: Promise<void>[] = []
  const seen = new Set<string>()
  const streams = new Set<BusboyFileStream>()
  const ended = new Promise<void>(resolve => parser.on('finish', resolve))
  const stop = watch(source, options, fail)

  parser.on('file', (name: string | undefined, stream, fileName: string | undefined, encoding) => {
    streams.add(stream)
    stream.on('error', fail)
    stream.on('limit', () => fail(tooLarge(name ?? '', options.maxBytes)))
    const part = readPart({ name, fileName, encoding, seen }, stream, form, options)
    parts.push(part)
    part.catch(fail)
  })
  parser.on('partsLimit', () => fail(invalidBody('', `has more than ${maxParts(options)} parts`)))
  parser.on('error', () => fail(invalidBody('', 'is not a complete multipart/form-data body; check the boundary and the end')))
  const onGone = () => source.readableEnded || fail(new Problem('request-timeout'))
  source.on('error', onGone)
  source.on('close', onGone)
  if (source.destroyed) onGone() // while the store was opened
  source.pipe(parser)

  try {
    await Promise.race([failed, ended.then(() => Promise.all(parts))])
    if (partsSeen(parser) > parts.length) throw invalidBody('', 'has a part without the header Content-Disposition: form-data')
    return form
  } catch (error) {
    source.unpipe(parser)
    for (const stream of streams) stream.destroy(error as Error) // ends their drafts, too
    source.resume()
    await Promise.allSettled(parts)
    await form.discard()
    throw asProblem(error)
  } finally {
    stop()
  }
}

const maxParts = ({ fields, files }: FormOptions) => fields.length + files.length

function openParser(headers: IncomingHttpHeaders, options: FormOptions) {
  const limits = { files: maxParts(options) + 1, parts: maxParts(options), fileSize: options.maxBytes, headerPairs: 20, headerSize: 8_192 }
  try {
    // Texts are read as bytes too: the parser would replace what is not UTF-8.
    return new Busboy({ headers: { ...headers, 'content-type': String(headers['content-type']) }, limits, isPartAFile: () => true })
  } catch {
    throw invalidBody('', 'has no boundary in its Content-Type; let your HTTP client write that header')
  }
}

/** All parts, also those that the parser skips without a word since their header does not say what they are: a message would be lost. */
const partsSeen = (parser: object) => (parser as { _parser: { _nparts: number } })._parser._nparts // it has no event for them

type Part = { name: string | undefined; fileName: string | undefined; encoding: string; seen: Set<string> }

async function readPart({ name, fileName, encoding, seen }: Part, stream: BusboyFileStream, form: Form, options: FormOptions) {
  const { fields, files, store } = options
  if (name === undefined) throw invalidBody('', `has a part without a name; the known parts are ${[...fields, ...files].join(', ')}`)
  const pointer = `/${escaped(name.slice(0, 40))}`
  const isFile = files.includes(name)
  if (!isFile && !fields.includes(name)) throw invalidBody(pointer, `is not known; the known parts are ${[...fields, ...files].join(', ')}`)
  if (seen.has(name)) throw invalidBody(pointer, 'occurs twice')
  seen.add(name)
  if (!/^(7bit|8bit|binary)$/i.test(encoding)) throw invalidBody(pointer, 'has a Content-Transfer-Encoding; send its bytes as they are')
  if (!isFile) {
    if (fileName !== undefined) throw invalidBody(pointer, 'is a file; expected a text')
    form.fields[name] = await readText(pointer, stream)
    return
  }
  if (fileName === undefined) {
    for await (const _ of stream) throw invalidBody(pointer, 'is a text; expected a file, as in curl -F file=@photo.jpg')
    return // Swagger UI sends an empty text where no file was chosen
  }
  const meter = createMeter()
  stream.on('data', meter.count)
  const source = stream.pipe(new PassThrough())
  source.on('error', () => {}) // an upload may be cut before the store listens; an error without a listener would end the process
  stream.on('error', error => source.destroy(error))
  const draft = await store.draft(source).catch(async error => {
    if (!options.mayRepeat || !(error instanceof MediaStoreError)) throw error
    stream.unpipe(source)
    await finished(stream.resume())
    return meter.lostDraft(error)
  })
  const { bytes, sha256, isText } = meter.result()
  const upload = { ...draft, bytes, sha256, contentType: '', name: fileName, isKept: false }
  if (bytes === 0 && fileName === '') return draft.discard() // a browser sends this where no file was chosen
  form.files[name] = upload // from here on, `discard` deletes it
  if (stream.truncated) throw tooLarge(name, options.maxBytes)
  if (bytes === 0) throw invalidBody(pointer, 'is empty')
  upload.contentType = await contentTypeOf({ ...draft, bytes, isText })
}

async function readText(pointer: string, stream: Readable): Promise<string> {
  const text = new CollectedBytes()
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    text.append(chunk, maxTextBytes)
    if (text.size > maxTextBytes) throw new Problem('payload-too-large', { detail: `The text of ${pointer} has more than 65,536 bytes.` })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text.take())
  } catch {
    throw invalidBody(pointer, 'is not UTF-8; encode it as UTF-8')
  }
}

/** Ends an upload that takes too long, or of which nothing comes any more. */
function watch(source: Readable, { totalMs, stallMs }: FormOptions, fail: (problem: Problem) => void): () => void {
  const late = (detail: string) => fail(new Problem('request-timeout', { detail, headers: { connection: 'close' } }))
  const total = setTimeout(() => late(`The files did not arrive within ${totalMs / 1_000} seconds.`), totalMs)
  const onStall = () => {
    // All has come, or the store takes no more: its caller does not wait.
    if (source.readableEnded || source.isPaused()) stall.refresh()
    else late(`No byte came for ${stallMs / 1_000} seconds.`)
  }
  const stall = setTimeout(onStall, stallMs)
  const onData = () => void stall.refresh()
  source.on('data', onData)
  return () => {
    clearTimeout(total)
    clearTimeout(stall)
    source.off('data', onData)
  }
}

async function discardAll({ files }: Form) {
  await Promise.allSettled(Object.values(files).map(file => file.discard()))
}

const tooLarge = (name: string, maxBytes: number) =>
  new Problem('payload-too-large', { detail: `The part ${name} has more than ${maxBytes.toLocaleString('en')} bytes (MEDIA_MAX_BYTES).` })
