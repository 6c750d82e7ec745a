import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openStore } from '../../../src/store/open.ts'
import { postForm, samples, sha256 } from '../../media/forms.ts'
import { policy } from '../../store/sends.ts'
import { issue } from '../../tokens/issuing.ts'
import { figures, rowsIn, test } from './command.ts'

const number = '34600000001'
const other = '/chats/whatsapp/100/34600000000/files'
const theirs = `/chats/whatsapp/100/%2B${number.slice(0, 2)}%20${number.slice(2)}/files`

describe('npm run store', () => {
  test('knows files: counts, exports, copies and forgets those of a person', async ({ start, sandbox, dir, path, url, run }) => {
    const folder = join(dir, 'media')
    const env = { STORE_URL: url, MEDIA_STORE: `file:${folder}` }
    const gateway = await start({ env: { STORE_URL: url, MEDIA_STORE: env.MEDIA_STORE } })
    const stored = await postForm(gateway, '/media', [['file', samples.pdf, 'all.pdf']])
    expect((await postForm(gateway, theirs, [['file', samples.png, 'theirs.png']])).status).toBe(201)
    const token = await issue(gateway, { chat: { platform: 'whatsapp', platformId: '100', destination: number }, scopes: ['media:write'] })
    await postForm(gateway, '/media', [['file', samples.png, 'with-a-token.png']], { authorization: `Bearer ${token}` })
    const first = await postForm(gateway, other, [['file', samples.gif, 'other.gif']])
    expect(first.status).toBe(201)
    const { fileurl: fileUrl } = Object.fromEntries(sandbox.calls[1]?.params ?? [])
    const copy = `sqlite:${join(dir, 'copy.sqlite')}`
    const before = await run(['check'], { env })
    const exported = await run(['export', '--destination', '-'], { env, input: `${number}\n` })
    const whole = await run(['export'], { env })
    const copied = await run(['copy', url, copy], { env })
    expect((await gateway.post(other, { type: 'image', fileUrl })).status).toBe(201) // now two sends use it
    const again = await run(['copy', url, copy], { env })
    const forgotten = await run(['forget', '-'], { env, input: `${number}\n` })
    const after = await run(['check'], { env })

    expect(before.code).toBe(0)
    expect(figures(before.stdout)).toMatchObject({ files: 4, lost: 0, damaged: 0, unknown: 0 })
    const rows = rowsIn(exported.stdout).filter(row => row.file)
    expect(rows.map(({ name }) => name).sort()).toEqual(['theirs.png', 'with-a-token.png'])
    for (const row of rows) expect(row).toMatchObject({ destination: number, sha256: sha256(samples.png) })
    for (const row of rows) expect(row).not.toHaveProperty('token')
    expect(whole.stdout.match(/^\{"file":/gm)).toHaveLength(4)
    expect([copied, again].map(({ stdout }) => figures(stdout).files)).toEqual([4, undefined])
    expect({ code: forgotten.code, ...figures(forgotten.stdout) }).toEqual({ code: 0, gone: 1, pending: 0, files: 2 })
    expect(forgotten.stdout + forgotten.stderr).not.toContain(number)
    expect(figures(after.stdout)).toMatchObject({ files: 2, lost: 0, unknown: 0 })
    for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name)).equals(samples.png)).toBe(false)
    for (const suffix of ['', '-wal']) {
      const bytes = existsSync(path + suffix) ? readFileSync(path + suffix) : Buffer.alloc(0)
      for (const trace of [number, 'theirs.png', 'with-a-token.png', sha256(samples.png)]) expect(bytes.includes(trace), trace).toBe(false)
    }
    expect((await gateway.get(`/media/${stored.json.id}`)).status).toBe(200)
    const target = await openStore(copy, policy)
    expect(await target.media.removeOf(first.json.id)).toEqual([])
    expect(await target.media.usage()).toMatchObject({ files: 4 })
    await target.close()
  })

  test('misses no bytes of a file that has expired or is being stored, and sees bytes that no ledger knows', async ({ dir, url, run }) => {
    const folder = join(dir, 'media')
    const env = { MEDIA_STORE: `file:${folder}` }
    const row = { owner: 'crm', type: 'document', contentType: 'text/plain', bytes: 1, sha256: sha256(Buffer.from('x')), name: 'x.txt' }
    const store = await openStore(url, policy)
    mkdirSync(folder)
    writeFileSync(join(folder, '00000000-0000-4000-8000-000000000000'), 'x')
    const none = await run(['check'], { env })
    const now = Date.now()
    await store.media.load({
      ...row,
      id: '00000000-0000-4000-8000-000000000001',
      token: 'a',
      createdAt: now - 3_600_000,
      expiresAt: now - 1,
    })
    await store.media.load({ ...row, id: '00000000-0000-4000-8000-000000000002', token: 'b', createdAt: now, expiresAt: now + 3_600_000 })
    const two = await run(['check'], { env })
    await store.close()

    expect({ code: none.code, ...figures(none.stdout) }).toMatchObject({ code: 0, files: 0, unknown: 1 })
    expect({ code: two.code, ...figures(two.stdout) }).toMatchObject({ code: 0, files: 2, expired: 1, lost: 0, damaged: 0, unknown: 1 })
  })

  test('copies how long a file lives, and finds what one of the two stores lacks', async ({ start, dir, url, run }) => {
    const folder = join(dir, 'media')
    const env = { STORE_URL: url, MEDIA_STORE: `file:${folder}` }
    const copy = `sqlite:${join(dir, 'copy.sqlite')}`
    const gateway = await start({ env })
    const [lost, damaged] = [
      await postForm(gateway, '/media', [['file', samples.pdf]]),
      await postForm(gateway, '/media', [['file', samples.png]]),
    ]
    await run(['copy', url, copy], { env })
    await gateway.drain()
    const store = await openStore(url, policy)
    const rows = await store.media.dump()
    await store.media.remove(rows.map(({ id }) => id))
    for (const row of rows) await store.media.load({ ...row, createdAt: row.createdAt - 3_600_000, expiresAt: row.expiresAt + 1_000 })
    await store.close()
    rmSync(join(folder, lost.json.id))
    truncateSync(join(folder, damaged.json.id), 3)
    writeFileSync(join(folder, '00000000-0000-4000-8000-000000000000'), 'x')

    const { code, stdout } = await run(['check'], { env })
    await run(['copy', url, copy], { env })
    writeFileSync(join(dir, 'file'), '')
    const noFolder = await run(['check'], { env: { ...env, MEDIA_STORE: `file:${join(dir, 'file', 'media')}` } })

    expect(code).toBe(1)
    expect(figures(stdout)).toMatchObject({ files: 2, lost: 1, damaged: 1, unknown: 1 })
    expect(noFolder).toMatchObject({ code: 1, stderr: expect.stringContaining('MEDIA_STORE: The media store is out of order (ENOTDIR)') })
    const target = await openStore(copy, policy)
    expect((await target.media.dump()).map(({ expiresAt }) => expiresAt)).toEqual(rows.map(({ expiresAt }) => expiresAt + 1_000))
    await target.close()
  })
})
