import { hash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, request as proxyRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
// @ts-expect-error: the package has no types
import S3rver from 's3rver'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, vi } from 'vitest'
import type { MediaBytes } from '../../src/media/bytes.ts'
import { openBytes } from '../../src/media/open.ts'
import { test } from '../gateway.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { fetched, late, postForm, samples, sha256 } from './forms.ts'

const files = '/chats/whatsapp/100/34600000000/files'
const credentials = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' } // s3rver knows no others

/** What the test needs of the package. */
const S3Server: new (options: object) => { run(): Promise<AddressInfo>; close(): Promise<void> } = S3rver

type Seen = { method: string; path: string; headers: IncomingHttpHeaders; body: Buffer }

/** s3rver, and in front of it what records every request: s3rver itself looks neither for trailers nor at most headers. */
async function startBucket() {
  const directory = mkdtempSync(join(tmpdir(), 's3rver-'))
  const s3 = new S3Server({ port: 0, address: '127.0.0.1', silent: true, directory, configureBuckets: [{ name: 'media' }] })
  const { port } = await s3.run()
  const seen: Seen[] = []
  const state: { isAway: boolean; isSilent: boolean; page?: string | undefined; pages: string[] } = {
    isAway: false,
    isSilent: false,
    pages: [],
  }
  const held: unknown[] = []
  const recorder = createServer(async (request, reply) => {
    if (state.isAway) return void request.socket.destroy()
    if (state.isSilent && request.method === 'GET') return void held.push(request)
    const { method = '', url: path = '', headers } = request
    const page = state.pages.shift() ?? state.page
    if (page !== undefined) {
      seen.push({ method, path, headers, body: Buffer.alloc(0) })
      return void reply.end(page)
    }
    const body = Buffer.concat(await request.toArray())
    seen.push({ method, path, headers, body })
    const passed = proxyRequest({ port, host: '127.0.0.1', method, path, headers }, answer => {
      reply.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(reply)
    })
    passed.end(body)
  }).listen(0, '127.0.0.1')
  await once(recorder, 'listening')
  const endpoint = `http://127.0.0.1:${(recorder.address() as AddressInfo).port}`
  return {
    seen,
    held,
    state,
    endpoint,
    store: `s3://media/uploads?endpoint=${encodeURIComponent(endpoint)}&region=eu-south-2`,
    async end() {
      recorder.closeAllConnections()
      recorder.close()
      await s3.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function listed(bytes: MediaBytes) {
  const found: { id: string; writtenAt: number; bytes: number }[] = []
  for await (const file of bytes.list()) found.push(file)
  return found
}

describe('A media store in S3', () => {
  let bucket: Awaited<ReturnType<typeof startBucket>>
  beforeAll(async () => {
    Object.assign(process.env, credentials)
    bucket = await startBucket()
  })
  beforeEach(() => {
    Object.assign(bucket.state, { isAway: false, isSilent: false, page: undefined, pages: [] })
    bucket.seen.length = 0
    bucket.held.length = 0
  })
  afterAll(async () => {
    for (const name of Object.keys(credentials)) delete process.env[name]
    await bucket.end()
  })

  test('gets each file in one signed request, whole and without trailers', async ({ start, sandbox }) => {
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    const large = Buffer.concat([samples.png, randomBytes(5_000_000)])
    const stored = await postForm(gateway, '/media', [['file', large]])
    const sent = await postForm(gateway, files, [['file', samples.gif]])
    const tiff = await postForm(gateway, '/media', [['file', late.tiff]])
    const puts = bucket.seen.filter(({ method }) => method === 'PUT')

    expect([stored.status, sent.status, tiff.json.contentType]).toEqual([201, 201, 'image/tiff'])
    expect(puts.map(({ body }) => hash('sha256', body))).toEqual([sha256(large), sha256(samples.gif), sha256(late.tiff)])
    expect(puts[0]?.path).toMatch(new RegExp(`^/media/uploads/${stored.json.id}\\b`))
    expect(puts[0]?.headers['content-length']).toBe(String(large.length))
    for (const { headers } of bucket.seen) {
      expect(headers.authorization).toMatch(
        /^AWS4-HMAC-SHA256 Credential=S3RVER\/\d{8}\/eu-south-2\/s3\/aws4_request, SignedHeaders=[\w;-]*host;[\w;-]*x-amz-content-sha256;[\w;-]*x-amz-date[\w;-]*, Signature=[0-9a-f]{64}$/,
      )
      expect(headers['x-amz-content-sha256']).toMatch(/^([0-9a-f]{64}|UNSIGNED-PAYLOAD)$/)
      for (const name of ['x-amz-trailer', 'x-amz-sdk-checksum-algorithm', 'x-amz-decoded-content-length', 'transfer-encoding'])
        expect(headers, name).not.toHaveProperty(name)
      expect(headers['content-encoding']).toBeUndefined()
    }
    expect((await fetched(stored.json.url)).bytes.equals(large)).toBe(true)
    expect((await fetched(String(sandbox.sent[0]?.fileurl))).bytes).toEqual(samples.gif)
    expect((await fetched(stored.json.url, { range: 'bytes=4-7' })).bytes).toEqual(large.subarray(4, 8))
    expect((await gateway.request(`/media/${stored.json.id}`, { method: 'DELETE' })).status).toBe(204)
    expect(bucket.seen.at(-1)).toMatchObject({ method: 'DELETE', path: expect.stringContaining(stored.json.id) })
  })

  test('gets nothing of what is refused, and refuses uploads while it is away', async ({ start, sandbox }) => {
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    const refused = await postForm(gateway, files, [
      ['file', samples.html],
      ['type', 'image'],
    ])
    expect([refused.status, bucket.seen.map(({ method }) => method)]).toEqual([422, []])

    bucket.state.isAway = true
    const away = await postForm(gateway, files, [['file', samples.png]])
    bucket.state.isAway = false
    const back = await postForm(gateway, files, [['file', samples.png]], { 'idempotency-key': 'file-1' })
    bucket.state.isAway = true
    const again = await postForm(gateway, files, [['file', samples.png]], { 'idempotency-key': 'file-1' })

    expect(away).toMatchObject({ status: 503, json: { code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' } })
    expect(back.status).toBe(201)
    expect(again).toMatchObject({ status: 201, json: { id: back.json.id } })
    expect(sandbox.sent).toHaveLength(1)
    expect(JSON.stringify(gateway.log)).not.toMatch(/S3RVER|AWS4|127\.0\.0\.1/)
  })

  test('stores no file for a server that answers each request with a page of its own', async ({ start, sandbox }) => {
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    bucket.state.page = '<html><body>Please log in</body></html>'
    const reply = await postForm(gateway, files, [['file', samples.png]])

    expect(reply).toMatchObject({ status: 503, json: { code: 'store-unavailable', outcome: 'not_applied', retry: 'yes' } })
    expect(await gateway.logged(({ msg }) => msg === 'media store failed')).toMatchObject({ verb: 'write', fault: 'NoETag' })
    expect(sandbox.calls).toEqual([])
  })

  test('gets a file a second time that it could not take at once', async ({ start }) => {
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    const large = Buffer.concat([samples.png, randomBytes(5_000_000)])
    bucket.state.pages = ['<Error><Code>SlowDown</Code></Error>']
    const { status, json } = await postForm(gateway, '/media', [['file', large]])

    expect([status, bucket.state.pages]).toEqual([201, []])
    expect((await fetched(json.url)).bytes.equals(large)).toBe(true)
  })

  test('says that it needs a region', async ({ start }) => {
    vi.stubEnv('AWS_REGION', undefined).stubEnv('AWS_CONFIG_FILE', '/dev/null')
    onTestFinished(() => void vi.unstubAllEnvs())
    const gateway = await start({ env: { MEDIA_STORE: bucket.store.replace(/&region=.*/, '') } })
    const { status } = await postForm(gateway, '/media', [['file', samples.png]])

    expect(status).toBe(503)
    expect(await gateway.logged(({ msg }) => msg === 'media store failed')).toMatchObject({ fault: 'NoRegion' })
  })

  test('is full if a quota of its bucket is', async ({ start }) => {
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    bucket.state.page = '<Error><Code>XMinioAdminBucketQuotaExceeded</Code></Error>'

    expect(await postForm(gateway, '/media', [['file', samples.png]])).toMatchObject({ status: 507, json: { code: 'media-full' } })
  })

  test('gives files and takes them while many readers wait, and refuses those who wait for ten seconds', async ({ start }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    const { url } = (await postForm(gateway, '/media', [['file', samples.png]])).json

    bucket.state.isSilent = true
    const readers = Array.from({ length: 60 }, () => fetched(url))
    await vi.waitFor(() => expect(bucket.held).toHaveLength(60), { timeout: 40_000 })
    bucket.state.isSilent = false
    expect((await postForm(gateway, '/media', [['file', samples.gif]])).status).toBe(201)
    expect((await fetched(url)).bytes).toEqual(samples.png)

    vi.advanceTimersByTime(10_000)
    for (const reader of await Promise.all(readers)) expect(reader).toMatchObject({ status: 503 })
  })

  test.for([
    ['a page of HTML', '<html><body>Please log in</body></html>'],
    ['nothing', ''],
    ['a part of a list without a way to the rest', '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>'],
  ] as const)('lists no files for a server that answers %s', async ([, page]) => {
    const bytes = await openBytes({ kind: 's3', bucket: 'media', prefix: 'uploads/', endpoint: bucket.endpoint, region: 'eu-south-2' })
    bucket.state.page = page
    await expect(bytes.list()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ name: 'MediaStoreError', code: 'NoList' })
  })

  test('lists its own files, and what lies beside them is left alone', async () => {
    const place = { kind: 's3', bucket: 'media', endpoint: bucket.endpoint, region: 'eu-south-2' } as const
    const [own, other] = [await openBytes({ ...place, prefix: 'one/' }), await openBytes({ ...place, prefix: 'two/' })]
    const id = randomUUID()
    for (const [bytes, name] of [
      [own, id],
      [own, 'notes.txt'],
      [other, randomUUID()],
    ] as const)
      await (await bytes.draft(Readable.from([samples.png]))).commit(name)

    const [file, ...more] = await listed(own)
    expect([file, more]).toEqual([{ id, bytes: samples.png.length, writtenAt: expect.any(Number) }, []])
    expect(file?.writtenAt, 'a young file is no orphan').toBeGreaterThan(Date.now() - 3_600_000)
  })

  test('lists its files page by page', async () => {
    const bytes = await openBytes({ kind: 's3', bucket: 'media', prefix: 'one/', endpoint: bucket.endpoint, region: 'eu-south-2' })
    const ids = [randomUUID(), randomUUID()]
    bucket.state.pages = ids.map((id, n) => {
      const rest = n === 0 ? '<NextContinuationToken>more</NextContinuationToken>' : ''
      return `<ListBucketResult><IsTruncated>${n === 0}</IsTruncated>${rest}<Contents><Key>one/${id}</Key></Contents></ListBucketResult>`
    })

    expect((await listed(bytes)).map(({ id }) => id)).toEqual(ids)
    const tokens = bucket.seen.map(({ path }) => new URL(path, bucket.endpoint).searchParams.get('continuation-token'))
    expect(tokens).toEqual([null, 'more'])
  })

  test.skipIf(!existsSync('/proc/self/fd'))('leaves nothing of an upload on this machine, stored or cut (needs Linux)', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'spool-'))
    vi.stubEnv('TMPDIR', folder)
    onTestFinished(() => void vi.unstubAllEnvs())
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const bytes = await openBytes({ kind: 's3', bucket: 'media', prefix: '', endpoint: bucket.endpoint, region: 'eu-south-2' })
    const spools = () => {
      const targets = readdirSync('/proc/self/fd').map(fd => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`)
        } catch {
          return '' // the one that reads the folder
        }
      })
      return targets.filter(path => path.startsWith(folder)).length
    }
    const draft = await bytes.draft(Readable.from([samples.png]))
    expect([readdirSync(folder), spools()]).toEqual([[], 1])
    const cut = Readable.from(
      (async function* () {
        yield samples.png
        throw new Error('cut')
      })(),
    )
    await expect(bytes.draft(cut)).rejects.toThrow('cut')
    await draft.commit(randomUUID())

    expect([readdirSync(folder), spools()]).toEqual([[], 0])
  })

  test('gets nothing without a folder for temporary files, which the gateway logs at its start and with each upload', async ({ start }) => {
    const { TMPDIR } = process.env
    onTestFinished(() => {
      if (TMPDIR === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = TMPDIR
    })
    process.env.TMPDIR = '/nowhere'
    const gateway = await start({ env: { MEDIA_STORE: bucket.store } })
    const reply = await postForm(gateway, '/media', [['file', samples.png]])

    expect(reply).toMatchObject({ status: 503, json: { code: 'store-unavailable' } })
    expect(bucket.seen).toEqual([])
    expect(await gateway.logged(({ setting }) => setting === 'TMPDIR')).toMatchObject({
      level: 40,
      msg: 'upload folder is not writable, uploads get 503',
      fault: 'ENOENT',
    })
    expect(await gateway.logged(({ msg }) => msg === 'media store failed')).toMatchObject({ verb: 'write', fault: 'ENOENT' })
  })

  test.skipIf(noServer)(
    'serves at one gateway what was stored at another, until it is deleted (needs redis-server)',
    async ({ start, sandbox }) => {
      const shared = await startServer()
      onTestFinished(shared.end)
      const env = { STORE_URL: shared.fresh(), MEDIA_STORE: bucket.store, MEDIA_URL: 'http://media.example.com' }
      const [one, other] = [await start({ env }), await start({ env })]
      const { id, url } = (await postForm(one, '/media', [['file', samples.pdf]])).json
      const at = (gateway: { url: string }) => url.replace(env.MEDIA_URL, gateway.url)

      expect([(await fetched(at(one))).bytes, (await fetched(at(other))).bytes]).toEqual([samples.pdf, samples.pdf])
      expect((await other.get(`/media/${id}`)).json).toMatchObject({ id, url, sha256: sha256(samples.pdf) })
      expect((await other.post(files, { type: 'document', fileUrl: url })).status).toBe(201)
      expect(sandbox.sent).toMatchObject([{ fileurl: url }])
      expect((await other.request(`/media/${id}`, { method: 'DELETE' })).status).toBe(204)
      expect([(await fetched(at(one))).status, (await fetched(at(other))).status]).toEqual([404, 404])
    },
  )
})
