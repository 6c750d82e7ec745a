import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { canaries, mediaFolder, type TestGateway, test } from '../gateway.ts'
import { postForm, samples } from '../media/forms.ts'

async function media({ adminUrl }: TestGateway) {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return Object.fromEntries([...text.matchAll(/^gateway_media_(\S+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]))
}

describe('GET /metrics', () => {
  test('tells what is stored, and how uploads ended', async ({ start, sandbox }) => {
    const folder = join(mediaFolder, `metrics-${randomBytes(6).toString('hex')}`)
    const gateway = await start({ env: { MEDIA_STORE: `file:${folder}`, MEDIA_MAX_MB: '1', MEDIA_MAX_BYTES: '700000' } })
    const files = '/chats/whatsapp/100/34600000000/files'
    const [large, tooLarge] = [randomBytes(600_000), randomBytes(700_001)]
    expect(await media(gateway)).toMatchObject({ files: 0, bytes: 0, max_bytes: 1_048_576 })

    const statuses = [
      await postForm(gateway, '/media', [['file', tooLarge]]),
      await postForm(gateway, '/media', [['file', large]]),
      await postForm(gateway, '/media', [['file', large]]),
      await postForm(gateway, '/media', [
        ['file', samples.html],
        ['type', 'image'],
      ]),
      await postForm(gateway, files, [['type', 'sticker']]),
      await postForm(gateway, files, [['file', samples.png]]),
    ].map(({ status }) => status)
    sandbox.answer({ method: 'sendfile', body: '{"status":"ERROR","error":"CHAT_NOT_FOUND"}' })
    statuses.push((await postForm(gateway, files, [['file', samples.gif]])).status) // was stored, and is deleted again
    await rm(folder, { recursive: true })
    await writeFile(folder, 'no folder')
    statuses.push((await postForm(gateway, '/media', [['file', samples.png]])).status)
    expect(await gateway.logged(({ msg }) => msg === 'media store failed')).toMatchObject({ level: 40, verb: 'write', fault: 'EEXIST' })
    const socket = gateway.open()
    socket.write(
      `POST /media HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${canaries.key}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 9000\r\n\r\n--b\r\n`,
      () => setImmediate(() => socket.destroy()),
    )

    expect(statuses).toEqual([413, 201, 507, 422, 400, 201, 404, 503])
    await expect
      .poll(() => media(gateway))
      .toEqual({
        files: 2,
        bytes: large.length + samples.png.length,
        max_bytes: 1_048_576,
        'uploads_total{result="stored"}': 3,
        'uploads_total{result="full"}': 1,
        'uploads_total{result="too-large"}': 1,
        'uploads_total{result="refused"}': 2,
        'uploads_total{result="failed"}': 1,
        'uploads_total{result="aborted"}': 1,
        uploaded_bytes_total: large.length + samples.png.length + samples.gif.length,
        'deleted_total{reason="expired"}': 0,
        'deleted_total{reason="orphan"}': 0,
        'deleted_total{reason="lost"}': 0,
        sweep_failures_total: 0,
      })
    await rm(folder)
    await mkdir(folder)
  })
})

test.for(['', '/of/media'])(
  'A gateway that cannot write to the folder for uploads logs it at its start: a file%s',
  async (below, { start }) => {
    const file = join(mediaFolder, `file-${randomBytes(6).toString('hex')}`)
    await mkdir(mediaFolder, { recursive: true })
    await writeFile(file, 'no folder', { mode: 0o755 })
    const gateway = await start({ env: { MEDIA_STORE: `file:${file}${below}` } })

    expect(await gateway.logged(({ msg }) => msg === 'upload folder is not writable, uploads get 503')).toMatchObject({
      level: 40,
      setting: 'MEDIA_STORE',
      fault: 'ENOTDIR',
    })
    expect(await postForm(gateway, '/media', [['file', samples.png]])).toMatchObject({ status: 503, json: { code: 'store-unavailable' } })
  },
)
