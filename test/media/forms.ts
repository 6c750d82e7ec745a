import { hash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { canaries, type TestGateway } from '../gateway.ts'

/** Files of a few bytes that are what they say. */
export const samples = {
  png: Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==', 'base64'),
  gif: Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'),
  mp4: Buffer.from('0000001c667479706d703432000000006d70343269736f6d0000000866726565', 'hex'),
  mp3: Buffer.concat([Buffer.from('ID3\x03\x00\x00\x00\x00\x00\x00', 'latin1'), Buffer.from('fffb9064', 'hex'), Buffer.alloc(417)]),
  ogg: Buffer.concat([
    Buffer.from('OggS\0\x02', 'latin1'),
    Buffer.alloc(20),
    Buffer.from('\x01\x13OpusHead\x01\x01', 'latin1'),
    Buffer.alloc(20),
  ]),
  wav: Buffer.from('524946462c00000057415645666d74201000000001000100401f0000401f00000100080064617461080000008080808080808080', 'hex'),
  pdf: Buffer.from('%PDF-1.4\n1 0 obj <<>> endobj\n<script>alert(1)</script>\n%%EOF\n'),
  svg: Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
  html: Buffer.from('<!doctype html><script>alert(document.domain)</script>'),
  card: Buffer.from('BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nEND:VCARD\r\n'),
  latin: Buffer.from('BEGIN:VCARD\r\nFN:Iñaki\r\nEND:VCARD\r\n', 'latin1'),
  text: Buffer.from('plain text, ñandú 👍\n'),
  cut: Buffer.from('a text that ends within ñ').subarray(0, -1),
  binary: Buffer.from([0xff, 0xfe, 0xfd, 0x00, 0x81, 0x80]),
}

const skipped = Buffer.alloc(100_000)
const id3 = Buffer.concat([Buffer.from('ID3\x03\0\0', 'latin1'), Buffer.from([0, 6, 0x0d, 0x20]), skipped]) // 100,000 in seven bits each
const part = (name: string, text: Buffer) => {
  const head = Buffer.alloc(30)
  head.writeUInt32LE(0x04034b50, 0)
  head.writeUInt32LE(text.length, 18)
  head.writeUInt32LE(text.length, 22)
  head.writeUInt16LE(name.length, 26)
  return Buffer.concat([head, Buffer.from(name), text])
}
export const word = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
const types = part('[Content_Types].xml', Buffer.from(`<Types><Override ContentType="${word}.main+xml"/></Types>`))

/** Files whose first 16 kB do not say what they are. */
export const late = {
  tiff: Buffer.concat([Buffer.from('49492a00a8860100', 'hex'), skipped.subarray(8), Buffer.from('0100000103000100000001000000', 'hex')]),
  flac: Buffer.concat([id3, Buffer.from('fLaC'), skipped]),
  docx: Buffer.concat([part('media/1.png', skipped), types]),
}

export const sha256 = (bytes: Uint8Array) => hash('sha256', bytes)

type Member = [name: string, value: string | Uint8Array, fileName?: string]

/** Posts a form as Node's own client writes it. */
export async function postForm(gateway: Pick<TestGateway, 'url'>, path: string, members: Member[], headers: Record<string, string> = {}) {
  const form = new FormData()
  for (const [name, value, fileName = 'photo.png'] of members) {
    if (typeof value === 'string') form.append(name, value)
    else form.append(name, new Blob([new Uint8Array(value)]), fileName)
  }
  const authorization = `Bearer ${canaries.key}`
  const reply = await fetch(gateway.url + path, { method: 'POST', body: form, headers: { authorization, ...headers } })
  return { status: reply.status, headers: reply.headers, json: JSON.parse(await reply.text()) as ReturnType<typeof JSON.parse> }
}

/** The names in a folder of files, if there is one. */
export function namesIn(folder: string) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Fetches a file as Afilnet would. */
export async function fetched(url: string, headers: Record<string, string> = {}, method = 'GET') {
  const reply = await fetch(url, { method, headers })
  return { status: reply.status, headers: Object.fromEntries(reply.headers), bytes: Buffer.from(await reply.arrayBuffer()) }
}
