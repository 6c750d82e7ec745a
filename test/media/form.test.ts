import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import { expect, test, vi } from 'vitest'
import { openFolder } from '../../src/media/folder.ts'
import { readForm } from '../../src/media/form.ts'
import { createUploadSlots } from '../../src/media/upload-limits.ts'

const headers = { 'content-type': 'multipart/form-data; boundary=b' }
const limits = { fields: [], files: ['file'], maxBytes: 1_000_000, totalMs: 600_000, stallMs: 5_000 }
const fileHead = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

test('a form whose caller left before it was read is refused', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'form-'))
  const source = new PassThrough()
  source.destroy()
  await once(source, 'close')

  await expect(readForm(source, headers, { ...limits, store: await openFolder(folder.path) })).rejects.toMatchObject({
    code: 'request-timeout',
  })
})

test('a form that is cut while the store opens its file is refused, and leaves nothing', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'form-'))
  const bytes = await openFolder(folder.path)
  const source = new PassThrough()
  const slow: typeof bytes = {
    ...bytes,
    async draft(file) {
      source.destroy()
      await new Promise(resolve => setImmediate(() => setImmediate(resolve))) // as a disk that is busy
      return bytes.draft(file)
    },
  }
  const reading = readForm(source, headers, { ...limits, store: slow })
  source.write(`${fileHead}some of its bytes`)

  await expect(reading).rejects.toMatchObject({ code: 'request-timeout' })
  expect(readdirSync(folder.path)).toEqual([])
})

test.for([100, 500_000])('a form of %i bytes does not stall while the store is slow', async (size, { onTestFinished }) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  await using folder = await mkdtempDisposable(join(tmpdir(), 'form-'))
  const bytes = await openFolder(folder.path)
  const [opening, syncing] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const slow: typeof bytes = {
    ...bytes,
    async draft(file) {
      await opening.promise
      const draft = await bytes.draft(file)
      await syncing.promise
      return draft
    },
  }
  const source = new PassThrough()
  const reading = readForm(source, headers, { ...limits, store: slow })
  source.write(fileHead)
  source.end(Buffer.concat([Buffer.alloc(size, 'a'), Buffer.from('\r\n--b--\r\n')]))

  await vi.waitUntil(() => source.readableEnded || source.isPaused(), { timeout: 40_000 })
  vi.advanceTimersByTime(20_000)
  opening.resolve()
  await vi.waitUntil(() => source.readableEnded, { timeout: 40_000 })
  vi.advanceTimersByTime(20_000)
  syncing.resolve()

  await expect(reading).resolves.toMatchObject({ files: { file: { bytes: size } } })
  expect(vi.getTimerCount(), 'nothing watches it any more').toBe(0)
})

test('a form of which a byte comes now and then does not stall', async ({ onTestFinished }) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const source = new PassThrough()
  const store = { draft: () => expect.fail('it has no file') }
  const reading = readForm(source, headers, { ...limits, store, fields: ['message'] })
  for (const byte of '--b\r\nContent-Disposition: form-data; name="message"\r\n\r\nHello\r\n--b--\r\n') {
    source.write(byte)
    await new Promise(resolve => setImmediate(resolve))
    vi.advanceTimersByTime(4_999)
  }
  source.end()

  await expect(reading).resolves.toMatchObject({ fields: { message: 'Hello' } })
})

test('a form that is refused is read to its end, and no file of it is stored', async () => {
  const source = new PassThrough()
  let drafts = 0
  const store = {
    draft() {
      drafts++
      return Promise.reject(new Error('never'))
    },
  }
  const reading = readForm(source, headers, { ...limits, store, fields: ['message'] })
  source.write('--b\r\nContent-Disposition: form-data; name="surprise"\r\n\r\nx\r\n')
  await expect(reading).rejects.toMatchObject({ code: 'invalid-request' })
  source.end(`${fileHead}${'x'.repeat(100_000)}\r\n--b--\r\n`)
  await finished(source)

  expect(drafts).toBe(0)
})

test.for([
  ['empty', 0, 'invalid-request'],
  ['too large', limits.maxBytes + 1, 'payload-too-large'],
] as const)('a file that is %s leaves nothing', async ([, bytes, code]) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'form-'))
  const source = new PassThrough()
  const reading = readForm(source, headers, { ...limits, store: await openFolder(folder.path) })
  source.end(`${fileHead}${'x'.repeat(bytes)}\r\n--b--\r\n`)

  await expect(reading).rejects.toMatchObject({ code })
  expect(readdirSync(folder.path)).toEqual([])
})

test.skipIf(!existsSync('/proc/self/fd'))('a form leaves no file open', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'form-'))
  const source = new PassThrough()
  const reading = readForm(source, headers, { ...limits, store: await openFolder(folder.path) })
  source.end(`${fileHead}some text\r\n--b--\r\n`)
  const form = await reading
  await form.files.file?.commit(randomUUID())
  const open = readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return []
    }
  })

  expect(open.filter(path => path.startsWith(folder.path))).toEqual([])
})

test('64 forms may arrive at a time, 32 of one caller', () => {
  const enter = createUploadSlots()
  const overloaded = expect.objectContaining({ code: 'overloaded' })
  const [leave = () => {}] = Array.from({ length: 32 }, () => enter('crm'))
  expect(() => enter('crm')).toThrow(overloaded)
  for (let n = 0; n < 32; n++) enter(`another ${n}`)
  expect(() => enter('shop')).toThrow(overloaded)
  leave()
  leave()
  enter('shop')

  expect(() => enter('crm')).toThrow(overloaded)
})
