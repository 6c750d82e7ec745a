import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { openFolder } from '../../src/media/folder.ts'
import { readForm } from '../../src/media/form.ts'

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
