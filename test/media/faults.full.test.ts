import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { canaries, test } from '../gateway.ts'
import { startProgram } from '../program.ts'
import { fetched, postForm, samples, sha256 } from './forms.ts'

const run = (command: string, ...args: string[]) => spawnSync(command, args).status === 0

/** A disk of one megabyte, if this user may mount some. */
function mountDisk() {
  const folder = mkdtempSync(join(tmpdir(), 'small-disk-'))
  const isMounted = run('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder)
  const end = () => {
    if (isMounted) run('umount', '-l', folder)
    rmSync(folder, { recursive: true })
  }
  return { folder, isMounted, end }
}

const probe = mountDisk()
probe.end()
const files = '/chats/whatsapp/100/34600000000/files'

describe.skipIf(!probe.isMounted)('A full disk (needs the right to mount)', () => {
  test('refuses uploads, keeps no part of them, and takes them again once there is room', async ({ start, sandbox }) => {
    const disk = mountDisk()
    onTestFinished(disk.end)
    const gateway = await start({ env: { MEDIA_STORE: `file:${disk.folder}` } })
    const first = await postForm(gateway, '/media', [['file', randomBytes(400_000)]])
    const full = [
      await postForm(gateway, files, [['file', randomBytes(900_000)]]),
      await postForm(gateway, files, [
        ['file', samples.png],
        ['thumb', Buffer.concat([samples.png, randomBytes(900_000)])],
      ]),
      await postForm(gateway, '/media', [['file', randomBytes(900_000)]]),
    ]

    for (const reply of full) {
      expect(reply).toMatchObject({ status: 507, json: { code: 'media-full', outcome: 'not_applied', retry: 'yes' } })
      expect(reply.headers.get('retry-after')).toBe('60')
    }
    await expect.poll(() => readdirSync(disk.folder)).toEqual([first.json.id])
    expect(sandbox.calls).toEqual([])
    expect((await gateway.request(`/media/${first.json.id}`, { method: 'DELETE' })).status).toBe(204)
    const photo = Buffer.concat([samples.png, randomBytes(600_000)])
    const post = () => postForm(gateway, files, [['file', photo]], { 'idempotency-key': 'file-1' })
    const sent = await post()
    const again = await post() // the disk has no room for it twice
    expect([sent, again].map(({ status, json }) => [status, json.id])).toEqual(Array(2).fill([201, sent.json.id]))
    expect(await gateway.get('/health/ready')).toMatchObject({ json: { store: 'ok' } })
  })

  test('refuses uploads to S3 that it cannot spool, and has its room back', async ({ start }) => {
    const disk = mountDisk()
    onTestFinished(disk.end)
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, 'fake')
    vi.stubEnv('TMPDIR', disk.folder)
    onTestFinished(() => void vi.unstubAllEnvs())
    const gateway = await start({ env: { MEDIA_STORE: 's3://media/?endpoint=http://127.0.0.1:9&region=eu-south-2' } })
    const post = (bytes: number) => postForm(gateway, '/media', [['file', randomBytes(bytes)]])
    const replies = [await post(1_500_000), await post(600_000), await post(600_000)]

    expect(replies.map(({ json }) => json.code)).toEqual(['media-full', 'store-unavailable', 'store-unavailable'])
    expect(gateway.log.flatMap(({ verb, fault }) => (verb === 'write' ? [fault] : []))).toEqual(['ENOSPC', 'ECONNREFUSED', 'ECONNREFUSED'])
  })
})

describe.skipIf(process.platform !== 'linux')('Readers that leave before the first byte (needs Linux)', () => {
  test('keep no file open', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox)
    const { json } = await postForm(gateway, '/media', [['file', randomBytes(1_000_000)]])
    const url = new URL(json.url)
    const leave = async (turns: number) => {
      const socket = connect(Number(url.port), url.hostname)
      const closed = once(socket, 'close')
      socket.write(`GET ${url.pathname} HTTP/1.1\r\nHost: a\r\n\r\n`)
      await once(socket, 'connect')
      for (let i = 0; i < turns; i++) await new Promise(resolve => setImmediate(resolve))
      socket.destroy()
      await closed
    }
    for (let rounds = 0; rounds < 4; rounds++) await Promise.all(Array.from({ length: 60 }, (_, turns) => leave(turns)))
    const left = () => gateway.log.filter(({ msg, method, aborted }) => msg === 'request' && method === 'GET' && aborted)
    await expect.poll(() => left().length).toBeGreaterThan(120)
    for (let i = 0; i < 20; i++) expect((await fetched(json.url)).status).toBe(200) // by now the gateway has opened the file for those as well

    await expect.poll(() => openFiles(gateway.pid, json.id)).toEqual([])
    // Those that the garbage collector had to close.
    expect(gateway.log.filter(({ msg }) => msg === 'warning from Node')).toEqual([])
  })
})

/** Where a process has this file open. */
function openFiles(pid: number | undefined, id: string) {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter(fd => {
    const file = join(folder, fd)
    return statSync(file, { throwIfNoEntry: false })?.isFile() && readlinkSync(file).endsWith(id)
  })
}

describe.skipIf(process.platform !== 'linux')('A reader that asks for many files at once and takes none (needs Linux)', () => {
  test('keeps one of them open', async ({ start }) => {
    const gateway = await start()
    const { json } = await postForm(gateway, '/media', [['file', randomBytes(8_000_000)]]) // more than the kernel keeps
    const inFlight = async () => /^gateway_requests_in_flight (\d+)$/m.exec(await (await fetch(`${gateway.adminUrl}/metrics`)).text())?.[1]
    gateway
      .open()
      .pause()
      .write(`GET ${new URL(json.url).pathname} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(50))
    await expect.poll(inFlight).toBe('50')
    await expect.poll(() => openFiles(process.pid, json.id)).toHaveLength(1)
    expect((await fetched(json.url)).bytes).toHaveLength(8_000_000) // by then, others would be open as well

    expect(openFiles(process.pid, json.id)).toHaveLength(1)
  })
})

describe('A gateway that is killed', () => {
  test('during uploads keeps what was stored, and no part of the rest', async ({ sandbox }) => {
    const folder = mkdtempSync(join(tmpdir(), 'killed-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const env = { MEDIA_STORE: `file:${join(folder, 'media')}`, STORE_URL: `sqlite:${join(folder, 'ledger.sqlite')}` }
    const names = () => readdirSync(join(folder, 'media'))
    const first = await startProgram(sandbox, env)
    const body = randomBytes(300_000)
    const stored = await postForm(first, '/media', [['file', body]])
    const uploads = Array.from({ length: 5 }, () => halfAnUpload(first.url).catch(() => 'cut'))
    await expect.poll(() => names().filter(name => name.endsWith('.part'))).toHaveLength(5)
    first.kill('SIGKILL')
    await first.exited
    expect(await Promise.all(uploads)).toEqual(Array(5).fill('cut'))
    expect(names()).toHaveLength(6)
    writeFileSync(join(folder, 'media', 'notes.txt'), 'of somebody else')

    const second = await startProgram(sandbox, env)
    await expect.poll(names).toEqual([stored.json.id, 'notes.txt'].sort())
    const { bytes } = await fetched(stored.json.url.replace(first.url, second.url))
    expect(sha256(bytes)).toBe(sha256(body))
    expect(sandbox.sent).toEqual([])
  })
})

/** Sends the beginning of a file, and waits for an answer. */
async function halfAnUpload(url: string) {
  const head = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
  const headers = { authorization: `Bearer ${canaries.key}`, 'content-type': 'multipart/form-data; boundary=b' }
  async function* bytes() {
    yield Buffer.from(head)
    yield randomBytes(100_000)
    await new Promise(() => {})
  }
  const answer = await fetch(`${url}/media`, { method: 'POST', headers, body: bytes() as never, duplex: 'half' } as RequestInit)
  return answer.status
}
