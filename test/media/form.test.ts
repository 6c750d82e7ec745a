import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { expect, test, vi } from 'vitest'
import { openFolder } from '../../src/media/folder.ts'
import { readForm } from '../../src/media/form.ts'

test('a form whose caller left before it was read is refused', async ({ onTestFinished }) => {
  const folder = mkdtempSync(join(tmpdir(), 'form-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const source = new PassThrough()
  source.destroy()
  await once(source, 'close')
  const headers = { 'content-type': 'multipart/form-data; boundary=b' }
  const options = { store: await openFolder(folder), fields: [], files: ['file'], maxBytes: 1_000, totalMs: 600_000, stallMs: 600_000 }

  await expect(readForm(source, headers, options)).rejects.toMatchObject({ code: 'request-timeout' })
})

test('a form that is cut while the store opens its file is refused, and leaves nothing', async ({ onTestFinished }) => {
  const folder = mkdtempSync(join(tmpdir(), 'form-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const bytes = await openFolder(folder)
  const source = new PassThrough()
  const slow: typeof bytes = {
    ...bytes,
    async draft(file) {
      source.destroy()
      await new Promise(resolve => setImmediate(() => setImmediate(resolve))) // as a disk that is busy
      return bytes.draft(file)
    },
  }
  const headers = { 'content-type': 'multipart/form-data; boundary=b' }
  const options = { store: slow, fields: [], files: ['file'], maxBytes: 1_000, totalMs: 5_000, stallMs: 5_000 }
  const reading = readForm(source, headers, options)
  source.write('--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsome of its bytes')

  await expect(reading).rejects.toMatchObject({ code: 'request-timeout' })
  expect(readdirSync(folder)).toEqual([])
})

test.for([100, 500_000])('a form of %i bytes does not stall while the store is slow', async (size, { onTestFinished }) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const folder = mkdtempSync(join(tmpdir(), 'form-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const bytes = await openFolder(folder)
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
  const headers = { 'content-type': 'multipart/form-data; boundary=b' }
  const options = { store: slow, fields: [], files: ['file'], maxBytes: 1_000_000, totalMs: 60_000, stallMs: 5_000 }
  const reading = readForm(source, headers, options)
  source.write('--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
  source.end(Buffer.concat([Buffer.alloc(size, 'a'), Buffer.from('\r\n--b--\r\n')]))

  await vi.waitUntil(() => source.readableEnded || source.isPaused(), { timeout: 40_000 })
  vi.advanceTimersByTime(20_000)
  opening.resolve()
  await vi.waitUntil(() => source.readableEnded, { timeout: 40_000 })
  vi.advanceTimersByTime(20_000)
  syncing.resolve()

  await expect(reading).resolves.toMatchObject({ files: { file: { bytes: size } } })
})
