import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { canaries, mediaFolder, type StartOptions, sharedTest, type TestGateway, test } from '../gateway.ts'
import { fetched, late, namesIn, postForm, samples } from '../media/forms.ts'

const files = '/chats/whatsapp/100/34600000000/files'
const run = promisify(execFile)

/** A gateway whose files lie in a folder that the test can look into. */
async function withFolder(start: (options?: StartOptions) => Promise<TestGateway>, env: Record<string, string> = {}) {
  const folder = join(mediaFolder, `forms-${randomBytes(6).toString('hex')}`)
  return { folder, gateway: await start({ env: { MEDIA_STORE: `file:${folder}`, ...env } }) }
}

describe('POST …/files as a form', () => {
  sharedTest.for([
    ['png', undefined, 'image'],
    ['mp3', undefined, 'audio'],
    ['mp3', 'voice', 'voice'],
    ['mp4', undefined, 'video'],
    ['card', undefined, 'contact'],
    ['html', undefined, 'document'],
    ['png', 'document', 'document'],
  ] as const)('sends a %s (type %s) as %s, with the same bytes', async ([name, type, expected], { gateway, sandbox }) => {
    const reply = await postForm(gateway, files, [
      ...(type ? [['type', type] as [string, string]] : []),
      ['file', samples[name], 'menu'],
      ['thumb', samples.gif, 'small.gif'],
      ['message', 'Our menu ñ 👍'],
      ['reference', 'order-1'],
    ])
    const [sent] = sandbox.sent

    expect(reply).toMatchObject({ status: 201, json: { kind: 'file', state: 'accepted', reference: 'order-1' } })
    expect(sent).toMatchObject({ type: expected, message: 'Our menu ñ 👍', destination: '34600000000' })
    expect((await fetched(String(sent?.fileurl))).bytes).toEqual(samples[name])
    expect((await fetched(String(sent?.thumburl))).bytes).toEqual(samples.gif)
  })

  sharedTest.for([['before'], ['after']])(
    'takes what curl sends, with its texts %s the file',
    async ([where], { folder, gateway, sandbox, task }) => {
      const path = join(folder, 'photo.png')
      writeFileSync(path, Buffer.concat([samples.png, randomBytes(2_000_000)])) // large enough for Expect: 100-continue
      const texts = ['-F', 'message=Our menu', '-F', 'type=image']
      const file = ['-F', `file=@${path};type=text/html;filename=../"x".svg`]
      const { stdout } = await run('curl', [
        ...['-sS', '-H', `Authorization: Bearer ${canaries.key}`],
        ...(where === 'before' ? [...texts, ...file] : [...file, ...texts]),
        gateway.url + files,
      ])

      expect(JSON.parse(stdout), task.name).toMatchObject({ kind: 'file', state: 'accepted' })
      expect(sandbox.sent).toMatchObject([{ type: 'image', message: 'Our menu' }])
      const back = await fetched(String(sandbox.sent[0]?.fileurl))
      expect(back.bytes).toHaveLength(samples.png.length + 2_000_000)
      expect(back.headers['content-type']).toBe('image/png')
    },
  )

  test.for([
    ['a browser', '; filename=""\r\nContent-Type: application/octet-stream'], // which Node's own client would leave out
    ['Swagger UI', ''],
  ] as const)('takes what %s sends where no thumbnail was chosen, and asks for the file', async ([, more], { start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    const headers = { 'content-type': 'multipart/form-data; boundary=b' }
    const part = (name: string, more: string, bytes = Buffer.alloc(0)) =>
      Buffer.concat([Buffer.from(`--b\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n`), bytes, Buffer.from('\r\n')])
    const post = (...parts: Buffer[]) =>
      gateway.request(files, { method: 'POST', headers, body: Buffer.concat([...parts, Buffer.from('--b--\r\n')]) })

    const sent = await post(part('thumb', more), part('file', '; filename="photo.png"', samples.png))
    const refused = await post(part('file', more))

    expect(sent.status).toBe(201)
    expect(sandbox.sent.map(({ thumburl }) => thumburl)).toEqual([undefined])
    expect(refused.json).toMatchObject({ code: 'invalid-request', errors: [{ pointer: '/file', detail: 'is missing' }] })
    expect(await namesIn(folder)).toHaveLength(1)
  })

  sharedTest('takes parts that say how they are written, and texts with all their characters', async ({ gateway, sandbox }) => {
    const part = (name: string, encoding: string) =>
      `--b\r\nContent-Disposition: form-data; name="${name}"\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`
    const { status } = await gateway.request(files, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      body: Buffer.concat([
        Buffer.from(`${part('reference', '7bit')}order-1\r\n${part('message', '8bit')}\ufeffOur menu \ufeff\0\r\n`),
        Buffer.from(part('file"; filename="photo.png', 'binary')),
        samples.png,
        Buffer.from('\r\n--b--\r\n'),
      ]),
    })

    expect(status).toBe(201)
    expect(sandbox.sent).toMatchObject([{ type: 'image', message: '\ufeffOur menu \ufeff\0' }])
  })

  test('refuses what does not fit, and leaves nothing of it', async ({ start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    const refused = [
      await postForm(gateway, files, [
        ['file', samples.html],
        ['type', 'image'],
      ]),
      await postForm(gateway, files, [
        ['file', samples.png],
        ['thumb', samples.pdf],
      ]),
      await postForm(gateway, files, [['thumb', samples.png]]),
      await postForm(gateway, files, [
        ['file', samples.png],
        ['fileUrl', 'https://example.com/x.png'],
      ]),
      await postForm(gateway, files, [
        ['file', samples.png],
        ['reference', 'x'.repeat(129)],
      ]),
      await postForm(gateway, files, [['file', samples.png]], { 'idempotency-key': 'a b' }),
      await postForm(gateway, '/chats/sms/100/34600000000/files', [['file', samples.png]]),
    ]

    expect(refused.map(({ status, json }) => [status, json.code])).toEqual([
      [422, 'file-type-mismatch'],
      [422, 'file-type-mismatch'],
      ...Array(5).fill([400, 'invalid-request']),
    ])
    expect(refused[1]?.json.errors).toMatchObject([{ pointer: '/thumb' }])
    expect(sandbox.calls).toEqual([])
    await expect.poll(() => namesIn(folder)).toEqual([])
  })

  test('keeps the file of a send that Afilnet took or may have taken, and of no other', async ({ start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    for (const [code, status] of [
      ['INCORRECT_FILETYPE', 422],
      ['NO_CREDITS', 503],
      ['CHAT_NOT_FOUND', 404],
    ] as const) {
      sandbox.answer({ method: 'sendfile', body: JSON.stringify({ status: 'ERROR', error: code }) })
      expect((await postForm(gateway, files, [['file', samples.png]])).status).toBe(status)
    }
    await expect.poll(() => namesIn(folder)).toEqual([])

    sandbox.answer({ method: 'sendfile', fault: 'drop' })
    expect((await postForm(gateway, files, [['file', samples.png]])).json).toMatchObject({ outcome: 'unknown' })
    expect((await postForm(gateway, files, [['file', samples.gif]])).status).toBe(201)
    expect(namesIn(folder)).toHaveLength(2)
  })

  test('replays the same bytes under the same key, whatever the file is called', async ({ start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    const key = { 'idempotency-key': 'file-1' }
    const first = await postForm(
      gateway,
      files,
      [
        ['file', samples.png, 'a.png'],
        ['message', 'x'],
      ],
      key,
    )
    const again = await postForm(
      gateway,
      files,
      [
        ['message', 'x'],
        ['file', samples.png, 'b.html'],
      ],
      key,
    )
    const typed = await postForm(
      gateway,
      files,
      [
        ['message', 'x'],
        ['type', 'image'],
        ['file', samples.png],
      ],
      key,
    )
    const other = await postForm(
      gateway,
      files,
      [
        ['file', samples.gif, 'a.png'],
        ['message', 'x'],
      ],
      key,
    )
    const thumb = await postForm(
      gateway,
      files,
      [
        ['file', samples.png],
        ['message', 'x'],
        ['thumb', samples.gif],
      ],
      key,
    )

    expect([first, again, typed].map(({ status, json }) => [status, json.id])).toEqual(Array(3).fill([201, first.json.id]))
    expect([again, typed].map(({ headers }) => headers.get('idempotency-replayed'))).toEqual(['true', 'true'])
    expect([other, thumb].map(({ status, json }) => [status, json.code])).toEqual(Array(2).fill([422, 'idempotency-key-reused']))
    expect(sandbox.sent).toHaveLength(1)
    await expect.poll(() => namesIn(folder)).toHaveLength(1)
    expect((await fetched(String(sandbox.sent[0]?.fileurl))).bytes).toEqual(samples.png)
  })

  test.for([
    ['full', 507],
    ['away', 503],
  ] as const)('replays while the media store is %s, and sends nothing new', async ([state, status], { start, sandbox }) => {
    const { gateway, folder } = await withFolder(start, { MEDIA_MAX_MB: '1' })
    const post = (key: string, file: Uint8Array) => postForm(gateway, files, [['file', file]], { 'idempotency-key': key })
    const photo = Buffer.concat([samples.png, randomBytes(200_000)])
    const first = await post('file-4', photo)
    if (state === 'full') {
      expect((await postForm(gateway, '/media', [['file', randomBytes(1_048_576 - photo.length)]])).status).toBe(201)
    } else {
      rmSync(folder, { recursive: true })
      writeFileSync(folder, 'no folder')
    }
    const [again, other, next] = [await post('file-4', photo), await post('file-4', samples.gif), await post('file-5', photo)]

    expect([first.status, again.status, other.status, next.status]).toEqual([201, 201, 422, status])
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect([again.json.id, other.json.code]).toEqual([first.json.id, 'idempotency-key-reused'])
    // What lies behind the beginning of a file that was not stored could make it another type.
    expect((await post('file-4', late.tiff)).status).toBe(state === 'full' ? 422 : status)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('that repeats a send whose outcome is unknown keeps the first file only', async ({ start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    sandbox.answer({ fault: 'drop', method: 'sendfile' })
    const post = () => postForm(gateway, files, [['file', samples.png]], { 'idempotency-key': 'file-3' })
    const [first, again] = [await post(), await post()]

    expect([first, again].map(({ status, json }) => [status, json.outcome])).toEqual(Array(2).fill([502, 'unknown']))
    await expect.poll(() => namesIn(folder)).toHaveLength(1)
    expect((await fetched(String(sandbox.sent[0]?.fileurl))).bytes).toEqual(samples.png)
  })

  test('is one send however many come at once', async ({ start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => postForm(gateway, files, [['file', samples.png]], { 'idempotency-key': 'file-2' })),
    )

    expect(replies.filter(({ status }) => status !== 201 && status !== 409)).toEqual([])
    expect(sandbox.sent).toHaveLength(1)
    await expect.poll(() => namesIn(folder)).toHaveLength(1)
  })
})

describe('an upload that is cut', () => {
  const boundary = 'x-boundary'
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="message"\r\n\r\nhello\r\n`
  const part = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n`
  const body = Buffer.concat([Buffer.from(head + part), samples.png, randomBytes(50_000), Buffer.from(`\r\n--${boundary}--\r\n`)])
  const request = (length: number) =>
    `POST ${files} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${canaries.key}\r\ncontent-type: multipart/form-data; boundary=${boundary}\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n`

  test.for([10, head.length + 20, head.length + part.length, head.length + part.length + 30_000, body.length - 3])(
    'after %i bytes leaves nothing and sends nothing',
    async (bytes, { start, sandbox }) => {
      const { gateway, folder } = await withFolder(start)
      const socket = gateway.open()
      socket.write(request(body.length))
      socket.write(body.subarray(0, bytes), () => setImmediate(() => socket.destroy()))
      await gateway.logged(({ msg }) => msg === 'request')

      await expect.poll(() => namesIn(folder)).toEqual([])
      expect(sandbox.calls).toEqual([])
      expect((await postForm(gateway, files, [['file', samples.png]])).status).toBe(201)
    },
  )

  test('ends with its connection, and logs no warning, however many come at once', async ({ start, onTestFinished }) => {
    const gateway = await start()
    const warnings: string[] = []
    const note = ({ message }: Error) => void warnings.push(message)
    process.on('warning', note)
    onTestFinished(() => void process.off('warning', note))
    const form = Buffer.concat([Buffer.from(part), samples.png, Buffer.from(`\r\n--${boundary}--\r\n`)])
    const upload = (extra: string) => Buffer.concat([Buffer.from(request(form.length).replace('connection: close\r\n', extra)), form])
    const answers = await gateway.raw(Buffer.concat([...Array.from({ length: 12 }, () => upload('')), upload('connection: close\r\n')]))

    expect(answers.split('HTTP/1.1 201 ')).toHaveLength(14)
    expect(warnings).toEqual([])
  })

  test('and whose length says so is refused', async ({ start, sandbox }) => {
    const { gateway, folder } = await withFolder(start)
    const short = await gateway.raw(Buffer.concat([Buffer.from(request(body.length - 20)), body.subarray(0, -20)]))
    const noEnd = await gateway.raw(Buffer.concat([Buffer.from(request(head.length)), Buffer.from(head)]))

    expect([short, noEnd].map(answer => answer.slice(0, 12))).toEqual(Array(2).fill('HTTP/1.1 400'))
    expect(namesIn(folder)).toEqual([])
    expect(sandbox.calls).toEqual([])
  })

  test('or of which nothing comes any more is ended', async ({ start }) => {
    const folder = join(mediaFolder, `stalled-${randomBytes(6).toString('hex')}`)
    const gateway = await start({ env: { MEDIA_STORE: `file:${folder}` }, timeouts: { stallMs: 200, requestMs: 60_000 } })
    const answer = await gateway.raw(Buffer.concat([Buffer.from(request(body.length)), body.subarray(0, 30_000)]))

    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    await expect.poll(() => namesIn(folder)).toEqual([])
    expect(gateway.log.filter(({ msg }) => msg === 'media store failed')).toEqual([])
  })

  test('may take longer than another body, but not for ever', async ({ start }) => {
    const gateway = await start({ timeouts: { requestMs: 300, uploadMs: 1_500, checkEveryMs: 50 } })
    const socket = gateway.open()
    let answer = ''
    socket.setEncoding('utf8').on('data', chunk => {
      answer += chunk
    })
    socket.write(Buffer.concat([Buffer.from(request(body.length)), body.subarray(0, 100)]))
    let at = 100
    const drip = setInterval(() => socket.write(body.subarray(at, ++at)), 50)
    await expect.poll(() => answer).toMatch(/^HTTP\/1\.1 408 [\s\S]*within 1.5 seconds/)
    clearInterval(drip)
  })
})
