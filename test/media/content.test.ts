import { describe, expect, test } from 'vitest'
import { cleanName, contentTypeOf, fitsType, isInline, mediaTypes, typeOf } from '../../src/media/content.ts'
import { readMediaPlace } from '../../src/media/place.ts'
import { rangeOf } from '../../src/media/range.ts'
import { samples } from './forms.ts'

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
    const found = await contentTypeOf(samples[name], texts.has(name))

    expect(found).toBe(contentType)
    expect({ type: typeOf(found), inline: isInline(found) }).toEqual({ type, inline })
    expect(mediaTypes.filter(type => fitsType(type, found))).toEqual(types)
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
    ['menú del día 👍.pdf', 'menú del día 👍.pdf'],
    [`${'x'.repeat(500)}.png`, `${'x'.repeat(80)}.png`],
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
    ['file:', undefined],
    ['./data/media', undefined],
    ['https://bucket', undefined],
  ] as const)('%s', ([text, place]) => {
    expect(readMediaPlace(text)).toEqual(place)
  })
})
