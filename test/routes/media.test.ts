import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import { canaries, readAnswers, sharedTest, test } from '../gateway.ts'
import { fetched, late, postForm, samples, sha256, word } from '../media/forms.ts'
import { policy } from '../store/sends.ts'

const files = '/chats/whatsapp/100/34600000000/files'

describe('POST /media', () => {
  sharedTest('stores a file for its caller, under a URL that anyone can fetch', async ({ gateway }) => {
    const stored = await postForm(gateway, '/media', [['file', samples.png, 'menú "1".png']])
    const { id, url } = stored.json

    expect(stored.status).toBe(201)
    expect(stored.headers.get('location')).toBe(`/media/${id}`)
    expect(stored.json).toMatchObject({
      type: 'image',
      contentType: 'image/png',
      bytes: samples.png.length,
      sha256: sha256(samples.png),
      name: 'menú 1.png',
    })
    expect(url).toMatch(new RegExp(`^${gateway.url}/media/[\\w-]{43}/men%C3%BA%201.png$`))
    expect((await gateway.get(`/media/${id}`)).json).toEqual(stored.json)
    expect((await fetched(url)).bytes).toEqual(samples.png)
    expect(await gateway.request(`/media/${id}`, { method: 'DELETE' })).toMatchObject({ status: 204, text: '' })
    expect([(await fetched(url)).status, (await gateway.get(`/media/${id}`)).json.code]).toEqual([404, 'media-not-found'])
  })

  sharedTest.for([
    ['a TIFF whose directory is at its end', 'image', late.tiff, 'image/tiff'],
    ['a FLAC behind a large tag', 'voice', late.flac, 'audio/flac'],
    ['a document whose types are at its end', 'document', late.docx, word],
    ['a card in Latin-1', 'contact', samples.latin, 'text/vcard'],
  ] as const)('takes %s for what it is', async ([, type, bytes, contentType], { gateway }) => {
    const { status, json } = await postForm(gateway, '/media', [
      ['type', type],
      ['file', bytes],
    ])

    expect([status, json.contentType]).toEqual([201, contentType])
    expect(await fetched(json.url)).toMatchObject({ headers: { 'content-type': contentType }, bytes })
  })

  sharedTest.for([
    ['no file', [['type', 'image']], 400, 'invalid-request'],
    ['an empty file', [['file', Buffer.alloc(0)]], 400, 'invalid-request'],
    ['a text as the file', [['file', 'text']], 400, 'invalid-request'],
    ['a file as the type', [['type', samples.png]], 400, 'invalid-request'],
    [
      'two files',
      [
        ['file', samples.png],
        ['file', samples.png],
      ],
      400,
      'invalid-request',
    ],
    [
      'an unknown part',
      [
        ['file', samples.png],
        ['surprise', 'x'],
      ],
      400,
      'invalid-request',
    ],
    [
      'an unknown type',
      [
        ['file', samples.png],
        ['type', 'sticker'],
      ],
      400,
      'invalid-request',
    ],
    [
      'a type that does not fit',
      [
        ['file', samples.html],
        ['type', 'image'],
      ],
      422,
      'file-type-mismatch',
    ],
    [
      'a document as a contact',
      [
        ['file', samples.text],
        ['type', 'contact'],
      ],
      422,
      'file-type-mismatch',
    ],
  ] as const)('refuses %s', async ([, members, status, code], { gateway, sandbox }) => {
    const before = (await postForm(gateway, '/media', [['file', samples.gif]])).json
    const reply = await postForm(gateway, '/media', members as never)

    expect(reply).toMatchObject({ status, json: { code, outcome: 'not_applied', retry: 'no' } })
    expect((await gateway.get(`/media/${before.id}`)).status).toBe(200)
    expect(sandbox.calls).toEqual([])
  })

  test('refuses a file that is too large while it arrives', async ({ start }) => {
    const gateway = await start({ env: { MEDIA_MAX_BYTES: '1000' } })

    expect(await postForm(gateway, '/media', [['file', randomBytes(1001)]])).toMatchObject({
      status: 413,
      json: { code: 'payload-too-large' },
    })
    expect((await postForm(gateway, '/media', [['file', randomBytes(1000)]])).status).toBe(201)
  })

  test('keeps no place for an upload that has ended, or was refused', async ({ start }) => {
    const gateway = await start()
    const post = (file: Uint8Array | string) => postForm(gateway, '/media', [['file', file]])
    const replies = []
    for (let n = 0; n < 33; n++) replies.push(await post(samples.gif), await post('text'))

    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201, 400]))
  })

  test('refuses what has no room, and takes it again once there is some', async ({ start }) => {
    const gateway = await start({ env: { MEDIA_MAX_MB: '1' } })
    const first = await postForm(gateway, '/media', [['file', randomBytes(700_000)]])
    const full = await postForm(gateway, '/media', [['file', randomBytes(400_000)]])
    await gateway.request(`/media/${first.json.id}`, { method: 'DELETE' })

    expect(full).toMatchObject({ status: 507, json: { code: 'media-full', retry: 'yes' } })
    expect(full.headers.get('retry-after')).toBe('60')
    expect((await postForm(gateway, '/media', [['file', randomBytes(400_000)]])).status).toBe(201)
  })

  test('judges the size of each file before the room for it', async ({ start, sandbox }) => {
    const gateway = await start({ env: { MEDIA_MAX_MB: '1', MEDIA_MAX_BYTES: '500000' } })
    const head = (path: string, bytes: number) =>
      `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${canaries.key}\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: ${bytes}\r\nconnection: close\r\n\r\n`
    const [small, large] = [randomBytes(400_000), randomBytes(500_001)]
    for (const bytes of [small, small]) await postForm(gateway, '/media', [['file', bytes]])
    const thumb = Buffer.concat([samples.gif, large])
    const replies = [
      await postForm(gateway, '/media', [['file', large]]),
      await postForm(gateway, files, [['file', large]]),
      await postForm(gateway, files, [
        ['file', small],
        ['thumb', thumb],
      ]),
      await postForm(gateway, '/media', [['file', small]]),
      await postForm(gateway, files, [
        ['file', small],
        ['thumb', thumb.subarray(0, 400_000)],
      ]),
    ]

    expect(replies.map(({ status, json }) => [status, json.code])).toEqual([
      ...Array(3).fill([413, 'payload-too-large']),
      ...Array(2).fill([507, 'media-full']),
    ])
    expect(await gateway.raw(head('/media', 700_000)), 'before any byte').toMatch(/^HTTP\/1\.1 413 /)
    expect(await gateway.raw(head(files, 1_200_000)), 'before any byte').toMatch(/^HTTP\/1\.1 413 /)
    expect(sandbox.calls).toEqual([])
  })

  test('needs its scope, and a URL that Afilnet can reach', async ({ start, sandbox }) => {
    const key = 'fake-sender-key-0123456789'
    const account = { url: new URL(sandbox.url.replace('127.0.0.1', 'sandbox')) }
    const callers = { sender: { key, scopes: ['files:send'] as const }, far: { key: 'fake-far-key-0123456789', account: 'far' } }
    const gateway = await start({ callers, accounts: { far: account } })
    const as = (key: string) => ({ authorization: `Bearer ${key}` })

    expect((await postForm(gateway, '/media', [['file', samples.png]], as(key))).json.code).toBe('insufficient-scope')
    for (const path of ['/media', files]) {
      expect(await postForm(gateway, path, [['file', samples.png]], as('fake-far-key-0123456789'))).toMatchObject({
        status: 503,
        json: { code: 'media-not-public', retry: 'no' },
      })
    }
    const everywhere = await start({ env: { HOST: '0.0.0.0' } })
    expect((await postForm(everywhere, '/media', [['file', samples.png]])).json.url).toMatch(/^http:\/\/127\.0\.0\.1:/)
  })

  const json = { 'content-type': 'application/json' }
  const file = 'Content-Disposition: form-data; name="file"; filename=a\r\n\r\nx\r\n'
  const text = (bytes: string, name = 'message') => `Content-Disposition: form-data; name="${name}"\r\n\r\n${bytes}\r\n`
  const form = (...parts: string[]) => ({
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
    body: Buffer.from(`${parts.map(part => `--b\r\n${part}`).join('')}--b--\r\n`, 'latin1'),
  })

  const known = 'the known parts are type, message, reference, file, thumb.'
  sharedTest.for([
    ['/media', 'The header Content-Type does not say multipart/form-data.', 415, { headers: json, body: '{}' }],
    [
      '/media',
      'The header Content-Type does not say multipart/form-data.',
      415,
      { headers: { 'content-type': 'multipart/mixed; boundary=b' }, body: '--b--' },
    ],
    [
      files,
      'The header Content-Type does not say application/json or multipart/form-data.',
      415,
      { headers: { 'content-type': 'text/plain' }, body: 'x' },
    ],
    [
      files,
      'The body has a Content-Encoding; send it without one.',
      415,
      { ...form(file), headers: { ...form(file).headers, 'content-encoding': 'gzip' } },
    ],
    ['/media', 'The body is missing.', 400, {}],
    [files, 'The body is missing.', 400, {}],
    [
      '/media',
      'The body has no boundary in its Content-Type; let your HTTP client write that header.',
      400,
      { headers: { 'content-type': 'multipart/form-data' }, body: 'x' },
    ],
    [
      '/media',
      'The body has a part without a name; the known parts are type, file.',
      400,
      form('Content-Disposition: form-data\r\n\r\nx\r\n'),
    ],
    ['/media', 'In the body, /a~1b~0c is not known; the known parts are type, file.', 400, form(text('x', 'a/b~c'))],
    ...['', 'Content-Type: text/plain\r\n', 'Content-Disposition: attachment; name="message"\r\n'].map(
      header =>
        [
          files,
          'The body has a part without the header Content-Disposition: form-data.',
          400,
          form(`${header}\r\nlost\r\n`, file),
        ] as const,
    ),
    [files, `The body has a part without a name; ${known}`, 400, form('Content-Disposition: form-data; filename=a\r\n\r\nx\r\n')],
    [files, `In the body, /fileUrl is not known; ${known}`, 400, form(file, text('x', 'fileUrl'))],
    [files, 'The body has more than 5 parts.', 400, form(...Array(6).fill(text('x')))],
    [files, 'In the body, /message occurs twice.', 400, form(text('x'), text('y'))],
    [files, 'In the body, /file is a text; expected a file, as in curl -F file=@photo.jpg.', 400, form(text('x', 'file'))],
    [files, 'In the body, /message is a file; expected a text.', 400, form(text('x', 'message"; filename="a'))],
    [files, 'In the body, /message is not UTF-8; encode it as UTF-8.', 400, form(text('\xf1'))],
    [files, 'The text of /message has more than 65,536 bytes.', 413, form(text('x'.repeat(65_537)))],
    [
      files,
      'In the body, /file has a Content-Transfer-Encoding; send its bytes as they are.',
      400,
      form(`Content-Transfer-Encoding: base64\r\n${file}`),
    ],
  ] as const)('refuses a body that is not a form of its parts at %s: %s', async ([path, detail, status, request], { gateway, sandbox }) => {
    expect(await gateway.request(path, { method: 'POST', ...request })).toMatchObject({ status, json: { detail } })
    expect(sandbox.calls).toEqual([])
  })

  sharedTest.for([
    ['no body, but a content type', 'Content-Type: application/json\r\nContent-Length: 0\r\n', ''],
    ['a body of any type', 'Content-Type: text/plain\r\nContent-Length: 3\r\n', 'abc'],
    ['a body that is no JSON', 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n', '1\r\n{\r\n0\r\n\r\n'],
  ] as const)('deletes for a client that sends %s', async ([, headers, body], { gateway }) => {
    const { json: stored } = await postForm(gateway, '/media', [['file', samples.png]])
    const request = (line: string) => `${line} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${canaries.key}\r\n`
    const answers = await gateway.raw(
      `${request(`DELETE /media/${stored.id}`)}${headers}\r\n${body}${request('GET /me')}Connection: close\r\n\r\n`,
    )

    expect(readAnswers(answers)).toMatchObject([{ status: 204 }, { status: 200 }])
    expect((await gateway.request(`/media/${stored.id}`, { method: 'DELETE' })).status).toBe(404)
  })
})

describe('GET /media/{token}/{name}', () => {
  const stored = async (gateway: Parameters<typeof postForm>[0], bytes: Uint8Array, name?: string) =>
    (await postForm(gateway, '/media', [['file', bytes, name ?? 'x']])).json as { id: string; url: string }

  sharedTest('serves ranges, HEAD and revalidation', async ({ gateway }) => {
    const { url } = await stored(gateway, samples.png)
    const etag = `"${sha256(samples.png)}"`
    const all = samples.png.length

    expect(await fetched(url, { range: 'bytes=4-7' })).toMatchObject({
      status: 206,
      headers: { 'content-range': `bytes 4-7/${all}`, 'content-length': '4' },
      bytes: samples.png.subarray(4, 8),
    })
    expect((await fetched(url, { range: 'bytes=-2' })).bytes).toEqual(samples.png.subarray(-2))
    expect((await fetched(url, { range: 'bytes=0-1', 'if-range': '"other"' })).status).toBe(200)
    const beyond = await fetched(url, { range: `bytes=${all}-` })
    expect(beyond).toMatchObject({
      status: 416,
      headers: { 'content-range': `bytes */${all}`, 'content-type': 'application/problem+json; charset=utf-8' },
    })
    for (const name of ['content-disposition', 'accept-ranges', 'etag']) expect(beyond.headers, 'of the file').not.toHaveProperty(name)
    for (const tags of [etag, '*', `W/${etag}`, `"other", ${etag}`]) {
      for (const method of ['GET', 'HEAD']) {
        const known = await fetched(url, { 'if-none-match': tags }, method)
        expect(known, tags).toMatchObject({ status: 304, headers: { etag } })
        expect(known.headers, method).not.toHaveProperty('content-length')
      }
    }
    for (const headers of [{}, { range: 'bytes=0-1' }, { range: `bytes=${all}-` }]) {
      const head = await fetched(url, headers, 'HEAD') // for which RFC 9110 defines no range
      expect(head).toMatchObject({ status: 200, headers: { 'content-length': String(all), 'content-type': 'image/png', etag } })
      expect(head.headers).not.toHaveProperty('content-range')
      expect(head.bytes).toHaveLength(0)
    }
  })

  sharedTest.for([
    ['png', 'inline', 'image/png'],
    ['mp3', 'inline', 'audio/mpeg'],
    ['mp4', 'inline', 'video/mp4'],
    ['pdf', 'attachment', 'application/pdf'],
    ['svg', 'attachment', 'application/xml'],
    ['html', 'attachment', 'text/plain'],
    ['text', 'attachment', 'text/plain'],
    ['cut', 'attachment', 'application/octet-stream'],
    ['binary', 'attachment', 'application/octet-stream'],
  ] as const)('shows a browser nothing that could run: %s is %s', async ([name, disposition, contentType], { gateway }) => {
    const { url } = await stored(gateway, samples[name], 'page.html')
    const { headers } = await fetched(url)

    expect(headers['content-type']).toBe(contentType)
    expect(headers['content-disposition']).toBe(`${disposition}; filename="page.html"; filename*=UTF-8''page.html`)
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'content-security-policy': expect.stringMatching(/^sandbox/) })
  })

  const script = '<script>fetch("/me")</script>'
  const [shows, plays] = ["sandbox; default-src 'none'", "sandbox allow-same-origin; default-src 'none'; media-src 'self'"]
  sharedTest.for([
    ['a GIF that is a script', Buffer.from('GIF89a/*\x01\x00*/=1;alert(1)//', 'latin1'), 'image/gif'],
    ['a JPEG that is an archive', Buffer.concat([Buffer.from('ffd8ffe000104a464946', 'hex'), Buffer.from('PK\x03\x04evil')]), 'image/jpeg'],
    ['a PNG with a page in it', Buffer.concat([samples.png, Buffer.from(script)]), 'image/png'],
    ['a video with a page in it', Buffer.concat([samples.mp4, Buffer.from(script)]), 'video/mp4'],
    ['an archive that is a JPEG', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(40)]), undefined],
    ['a PDF that is a page', Buffer.from(`%PDF-1.7\n<html>${script}`), undefined],
    ['a page that is a PDF', Buffer.from(`<html>${script}\n%PDF-1.7\n%%EOF`), undefined],
    ['an SVG with a script', Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">${script}</svg>`), undefined],
    ['an XHTML page', Buffer.from(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">${script}</html>`), undefined],
    ['a page in UTF-16', Buffer.from(`\ufeff<html>${script}`, 'utf16le'), undefined],
    ['a page after blanks', Buffer.from(`${'\n'.repeat(2_000)}<html>${script}`), undefined],
    ['a vCard with a page in it', Buffer.from(`BEGIN:VCARD\nVERSION:3.0\nFN:${script}\nEND:VCARD`), undefined],
  ] as const)('shows none of what a browser could run: %s', async ([, bytes, shown], { gateway }) => {
    const { url } = await stored(gateway, bytes, 'index.html')
    const { headers, bytes: back } = await fetched(url)

    expect(back.equals(bytes)).toBe(true)
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'content-security-policy': shown === 'video/mp4' ? plays : shows })
    expect(headers['content-type']).not.toMatch(/html|svg|javascript/)
    if (shown) expect(headers).toMatchObject({ 'content-type': shown, 'content-disposition': expect.stringMatching(/^inline;/) })
    else expect(headers['content-disposition']).toMatch(/^attachment;/)
  })

  sharedTest('writes no name into its headers that could end them', async ({ gateway }) => {
    const { url } = await stored(gateway, samples.text, 'a"\r\nX-Evil: 1\u202e%22 ñ.txt')
    const { headers } = await fetched(url)

    expect(headers).not.toHaveProperty('x-evil')
    expect(headers['content-disposition']).toMatch(/^attachment; filename="[ -~]*"; filename\*=UTF-8''[\w.%-]+$/)
  })

  sharedTest('knows no other token, and logs none', async ({ gateway }) => {
    const { url } = await stored(gateway, samples.png)
    const token = new URL(url).pathname.split('/')[2] ?? ''
    await fetched(url)
    const wrong = await fetched(url.replace(token, `${token.slice(1)}A`))
    await gateway.logged(({ route, status }) => route === '/media/:token/:name' && status === 404)

    expect([wrong.status, JSON.parse(wrong.bytes.toString()).code]).toEqual([404, 'media-not-found'])
    expect(JSON.stringify(gateway.log)).not.toContain(token)
    expect((await fetched(`${gateway.url}/media/..%2f..%2fetc%2fpasswd/x`)).status).toBe(404)
  })

  test('answers a problem, and no file, if not even the first byte can be read', async ({ start, folder }) => {
    const gateway = await start({ env: { MEDIA_STORE: `file:${folder}` } })
    const { id, url } = await stored(gateway, samples.png)
    rmSync(join(folder, id))
    mkdirSync(join(folder, id)) // it can be opened, and not be read
    const { status, headers, bytes } = await fetched(url, { range: 'bytes=0-1' })

    expect([status, JSON.parse(bytes.toString()).code]).toEqual([503, 'store-unavailable'])
    for (const name of ['content-disposition', 'accept-ranges', 'content-range', 'etag']) expect(headers).not.toHaveProperty(name)
    expect(await gateway.logged(({ msg }) => msg === 'media store failed')).toMatchObject({ verb: 'read', fault: 'EISDIR' })
  })

  test('gives no other answer on a connection where a damaged file ends too soon', async ({ start, folder }) => {
    const gateway = await start({ env: { MEDIA_STORE: `file:${folder}` } })
    const { id, url } = (await postForm(gateway, '/media', [['file', samples.text]])).json
    writeFileSync(join(folder, id), 'plain')
    const { host, pathname } = new URL(url)
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n`

    const said = await gateway.raw(`${get(pathname)}\r\n${get('/health/live')}connection: close\r\n\r\n`)

    expect(said).toContain(`content-length: ${samples.text.length}\r\n`)
    expect(said).toMatch(/\r\n\r\nplain$/)
    expect(await gateway.logged(({ msg }) => msg === 'media store failed')).toMatchObject({ verb: 'read', fault: 'WrongLength' })
  })
})

describe('a stored file in a send', () => {
  sharedTest('is fetched by its URL, any number of times', async ({ gateway, sandbox }) => {
    const { url } = (await postForm(gateway, '/media', [['file', samples.png]])).json
    const body = { type: 'image', fileUrl: url, thumbUrl: url }
    const replies = [await gateway.post(files, body), await gateway.post(files, body)]

    expect(replies.map(({ status }) => status)).toEqual([201, 201])
    expect(sandbox.sent).toMatchObject([{ fileurl: url, thumburl: url }, { fileurl: url }])
  })

  sharedTest('is a thumbnail only if it is an image', async ({ gateway, sandbox }) => {
    const { url } = (await postForm(gateway, '/media', [['file', samples.pdf]])).json
    const { status, json } = await gateway.post(files, { type: 'document', fileUrl: url, thumbUrl: url })

    expect([status, json.code, json.errors[0].pointer]).toEqual([422, 'file-type-mismatch', '/thumbUrl'])
    expect(sandbox.sent).toEqual([])
  })

  test('is known by scheme and host in any case, and by no other path', async ({ start, sandbox }) => {
    const gateway = await start({ env: { MEDIA_URL: 'https://media.example.com/Files' } })
    const { url } = (await postForm(gateway, '/media', [['file', samples.png]])).json
    const sent = [url.replace('https', 'HTTPS'), url.replace('media.example', 'Media.Example'), url.replace('.com', '.com:443')]
    const other = [url.replace('/Files', '/files'), url.replace('https://', 'https://u:p@'), url.replace('.com', '.com:8443')]
    const send = async (fileUrl: string, type = 'image') => (await gateway.post(files, { type, fileUrl })).json
    const found = async (fileUrl: string) => (await send(fileUrl, 'video')).code === 'file-type-mismatch'

    expect(await Promise.all(sent.map(found))).toEqual([true, true, true])
    expect(await Promise.all(other.map(found))).toEqual([false, false, false])
    sandbox.sent.length = 0
    expect((await send(sent[0] ?? '')).state).toBe('accepted')
    expect(sandbox.sent).toMatchObject([{ fileurl: sent[0] }])
  })

  sharedTest('on this machine is no private address, however its scheme is written', async ({ gateway, sandbox }) => {
    const fileUrl = (await postForm(gateway, '/media', [['file', samples.png]])).json.url.replace('http:', 'HTTP:')

    expect((await gateway.post(files, { type: 'image', fileUrl })).status).toBe(201)
    expect(sandbox.sent).toMatchObject([{ fileurl: fileUrl }])
  })

  test('must be the own one of its caller, be there, and fit its type', async ({ start, sandbox }) => {
    const other = { key: 'fake-other-key-0123456789' }
    const gateway = await start({ callers: { other } })
    const { id, url } = (await postForm(gateway, '/media', [['file', samples.pdf]])).json
    const theirs = (await postForm(gateway, '/media', [['file', samples.png]], { authorization: `Bearer ${other.key}` })).json
    const send = (fileUrl: string, type = 'document') => gateway.post(files, { type, fileUrl })

    expect(await send(theirs.url)).toMatchObject({
      status: 422,
      json: { code: 'media-not-found', status: 422, errors: [{ pointer: '/fileUrl' }] },
    })
    expect((await gateway.get(`/media/${theirs.id}`)).json.code).toBe('media-not-found')
    expect((await gateway.request(`/media/${theirs.id}`, { method: 'DELETE' })).status).toBe(404)
    expect((await send(url, 'image')).json).toMatchObject({ code: 'file-type-mismatch', errors: [{ pointer: '/fileUrl' }] })
    expect((await send(`${gateway.url}/media/nothing/x`)).json.code).toBe('media-not-found')
    expect((await send(`${gateway.url}/docs`)).json.code).toBe('invalid-request') // a private address like any other
    await gateway.request(`/media/${id}`, { method: 'DELETE' })
    expect((await send(url)).json.code).toBe('media-not-found')
    expect(sandbox.sent).toEqual([])
  })

  test('may be gone when a key is used again', async ({ start, sandbox }) => {
    const gateway = await start({ env: { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') } })
    const { id, url } = (await postForm(gateway, '/media', [['file', samples.png]])).json
    const send = (headers: Record<string, string>, type = 'image') => gateway.post(files, { type, fileUrl: url, thumbUrl: url }, headers)
    const [key, queuedKey] = [{ 'idempotency-key': 'k-1' }, { 'idempotency-key': 'k-2', prefer: 'respond-async' }]
    const first = await send(key)
    const queued = await send(queuedKey)
    await sandbox.called(2)
    await gateway.request(`/media/${id}`, { method: 'DELETE' })

    expect(await send(key)).toMatchObject({ status: 201, headers: { 'idempotency-replayed': 'true' }, json: first.json })
    expect(await send(queuedKey)).toMatchObject({ headers: { 'idempotency-replayed': 'true' }, json: { id: queued.json.id } })
    expect((await send(key, 'document')).json.code).toBe('idempotency-key-reused')
    expect((await send({ 'idempotency-key': 'k-3', prefer: 'respond-async' })).json.code).toBe('media-not-found')
    expect(sandbox.sent).toHaveLength(2)
  })

  test('is kept until after a queued send that needs it', async ({ start, ledgerFile }) => {
    const url = `sqlite:${ledgerFile}`
    const gateway = await start({ env: { MEDIA_KEEP_HOURS: '1', QUEUE_KEY: Buffer.alloc(32, 7).toString('base64'), STORE_URL: url } })
    const uploads = [samples.pdf, samples.png, samples.gif].map(bytes => postForm(gateway, '/media', [['file', bytes]]))
    const stored = await Promise.all(uploads)
    expect(stored.map(({ status }) => status)).toEqual([201, 201, 201])
    const [day, hour] = [86_400_000, 3_600_000]
    const at = (ms: number) => new Date(Date.now() + ms).toISOString()
    const body = { type: 'document', fileUrl: stored[0]?.json.url, thumbUrl: stored[1]?.json.url }

    const refused = await gateway.post(files, { ...body, fileUrl: stored[2]?.json.url, sendAt: at(31 * day) })
    const queued = await gateway.post(files, { ...body, sendAt: at(5 * day), expiresAt: at(6 * day) })
    const form = await postForm(gateway, files, [['file', samples.text]], { prefer: 'respond-async' })
    await gateway.drain()

    expect([refused, queued, form].map(({ status }) => status)).toEqual([400, 202, 202])
    const store = await openStore(url, policy)
    const rows = await store.media.dump()
    await store.close()
    const until = (sha: Uint8Array) => rows.find(row => row.sha256 === sha256(sha))?.expiresAt
    const endsAt = Date.parse(queued.json.expiresAt)
    expect([until(samples.pdf), until(samples.png)]).toEqual([endsAt + hour, endsAt + hour])
    expect(until(samples.gif)).toBe(Date.parse(stored[2]?.json.expiresAt))
    expect(until(samples.text)).toBe(Date.parse(form.json.expiresAt) + hour)
  })
})
