import { describe, expect, test } from 'vitest'
import { MediaStoreError } from '../../src/media/bytes.ts'
import { cleanName, contentTypeOf, fitsType, isInline, mediaTypes, typeOf } from '../../src/media/content.ts'
import { readMediaPlace } from '../../src/media/place.ts'
import { rangeOf } from '../../src/media/range.ts'
import { late, samples, word } from './forms.ts'

const inMemory = (file: Uint8Array) => ({
  bytes: file.length,
  read: async (start: number, length: number) => file.subarray(start, start + length),
})

const texts = new Set(['svg', 'html', 'card', 'text', 'pdf'])

describe('the content of a file', () => {
  test.for([
    ['png', 'image/png', 'image', true, ['image', 'document']],
    ['gif', 'image/gif', 'image', true, ['image', 'document']],
    ['mp4', 'video/mp4', 'video', true, ['video', 'document']],
    ['mp3', 'audio/mpeg', 'audio', true, ['audio', 'voice', 'document']],
    ['ogg', 'audio/ogg', 'audio', true, ['audio', 'voice', 'document']],
    ['pdf', 'application/pdf', 'document', false, ['document']],
    ['svg', 'application/xml', 'document', false, ['document']],
    ['html', 'text/plain', 'document', false, ['document']],
    ['card', 'text/vcard', 'contact', false, ['document', 'contact']],
    ['text', 'text/plain', 'document', false, ['document']],
    ['binary', 'application/octet-stream', 'document', false, ['document']],
  ] as const)('%s is %s', async ([name, contentType, type, inline, types]) => {
    const found = await contentTypeOf({ ...inMemory(samples[name]), isText: texts.has(name) })

    expect(found).toBe(contentType)
    expect({ type: typeOf(found), inline: isInline(found) }).toEqual({ type, inline })
    expect(mediaTypes.filter(type => fitsType(type, found))).toEqual(types)
  })
})

describe('the content of a large file', () => {
  test.for([
    ['a TIFF whose directory is at its end', late.tiff, 'image/tiff'],
    ['a FLAC behind a large tag', late.flac, 'audio/flac'],
    ['a document whose types are at its end', late.docx, word],
    ['a card in Latin-1', samples.latin, 'text/vcard'],
    ['a card with a byte order mark', Buffer.concat([Buffer.from('\ufeff'), samples.card]), 'text/vcard'],
  ] as const)('%s is what it says', async ([, file, contentType]) => {
    expect(await contentTypeOf({ ...inMemory(file), isText: false })).toBe(contentType)
  })

  test('is looked at within bounds, however many parts it names', async () => {
    const entry = Buffer.alloc(30 + 5_000 + 16, 1) // whose length follows its bytes, which therefore are searched
    entry.set(Buffer.from('504b03041400080008000000000000000000000000000000000000000000', 'hex'))
    entry.set(Buffer.from('504b0708000000008813000088130000', 'hex'), 30 + 5_000)
    const hostile = Buffer.concat(Array(1_000).fill(entry))
    const { read, bytes } = inMemory(hostile)
    let looked = 0
    const counted = (start: number, length: number) => {
      looked += length
      return read(start, length)
    }

    expect(await contentTypeOf({ read: counted, bytes, isText: false })).toBe('application/zip')
    expect(looked).toBeLessThanOrEqual(4 * 2 ** 20 + 16_384)
  })

  test('is not guessed while the store does not give it', async () => {
    const read = async (start: number, length: number) => {
      if (start > 0) throw new MediaStoreError('failed', 'EIO')
      return late.tiff.subarray(start, start + length)
    }

    await expect(contentTypeOf({ read, bytes: late.tiff.length, isText: false })).rejects.toMatchObject({ code: 'EIO' })
  })
})

describe('the name of a file', () => {
  test.for([
    ['menu.jpg', 'menu.jpg'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\temp\\..\\evil.exe', 'evil.exe'],
    ['a"b\r\nSet-Cookie: x.png', 'abSet-Cookie x.png'],
    ['\u202egpj.exe', 'gpj.exe'],
    ['.htaccess', 'htaccess'],
    ['..', 'file'],
    ['', 'file'],
    [undefined, 'file'],
    ['\ud800a.png', '\ufffda.png'],
    ['men\u0075\u0301.jpg', 'men\u00fa.jpg'],
    ['menú del día 👍.pdf', 'menú del día 👍.pdf'],
    [`${'x'.repeat(500)}.png`, `${'x'.repeat(80)}.png`],
    [`${'x'.repeat(90)}.${'y'.repeat(90)}`, 'x'.repeat(80)],
  ] as const)('%j becomes %j', ([given, expected]) => {
    expect(cleanName(given)).toBe(expected)
  })
})

describe('a range', () => {
  test.for([
    [undefined, [0, 99, false]],
    ['bytes=0-9', [0, 9, true]],
    ['bytes=90-', [90, 99, true]],
    ['bytes=-10', [90, 99, true]],
    ['bytes=-1000', [0, 99, true]],
    ['bytes=50-1000', [50, 99, true]],
    ['bytes=100-', undefined],
    ['bytes=-0', undefined],
    ['bytes=9-0', [0, 99, false]],
    ['bytes=0-1,5-6', [0, 99, false]],
    ['chunks=0-1', [0, 99, false]],
    ['bytes=-', [0, 99, false]],
  ] as const)('%s is read', ([header, expected]) => {
    const range = rangeOf(header, 100)

    expect(range && [range.start, range.end, range.isPart]).toEqual(expected)
  })
})

describe('MEDIA_STORE', () => {
  test.for([
    ['file:./data/media', { kind: 'folder', path: './data/media' }],
    ['s3://bucket', { kind: 's3', bucket: 'bucket', prefix: '' }],
    ['s3://bucket/a/b/?region=eu-west-1', { kind: 's3', bucket: 'bucket', prefix: 'a/b/', region: 'eu-west-1' }],
    ['s3://bucket/p?endpoint=http://127.0.0.1:9000', { kind: 's3', bucket: 'bucket', prefix: 'p/', endpoint: 'http://127.0.0.1:9000' }],
    ['s3://key:secret@bucket/p', undefined],
    ['s3://bucket/p?endpoint=http://key:secret@host', undefined],
    ['s3://bucket/p?enpoint=http://host', undefined],
    ['s3://bucket/a%20b', { kind: 's3', bucket: 'bucket', prefix: 'a b/' }],
    ['s3://bucket/100%', undefined],
    ['s3://bucket/a%2F..%2Fb', undefined],
    ['s3://bucket/p#x', undefined],
    ['s3://bucket/p?endpoint=http://:secret@host', undefined],
    ['s3://bucket/p?region=eu-west-1&region=eu-west-2', undefined],
    ['file:', undefined],
    ['./data/media', undefined],
    ['https://bucket', undefined],
  ] as const)('%s', ([text, place]) => {
    expect(readMediaPlace(text)).toEqual(place)
  })
})
