import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { freePort } from '../../bench/programs.ts'
import { listen } from '../afilnet/listeners.ts'
import { test as base, canaries, type TestGateway } from '../gateway.ts'
import { installed } from '../store/stores.ts'
import { messages, next } from './issuing.ts'

const doc = readFileSync(join(import.meta.dirname, '../../docs/browser-tokens.md'), 'utf8')
const blockOf = (language: string) => doc.split(`\`\`\`${language}\n`)[1]?.split('```')[0] ?? ''

/** The backend and the page of docs/browser-tokens.md, as they stand there. */
const test = base.extend<{ site: { gateway: TestGateway; page: Page; traffic: string[] } }>({
  site: async ({ start }, use) => {
    const dir = mkdtempSync(join(tmpdir(), 'bff-'))
    const origin = `http://127.0.0.1:${await freePort()}`
    const gateway = await start({ env: { CORS_ORIGINS: origin } })
    writeFileSync(join(dir, 'bff.mjs'), blockOf('js'))
    writeFileSync(join(dir, 'page.html'), blockOf('html').replace('http://127.0.0.1:3000', gateway.url))
    const env = { GATEWAY: gateway.url, KEY: canaries.key, PORT: new URL(origin).port }
    const backend: ChildProcess = spawn(process.execPath, ['bff.mjs'], { cwd: dir, env, stdio: 'ignore' })
    await expect.poll(async () => (await fetch(origin).catch(() => undefined))?.status).toBe(200)
    const page = await browser.newPage()
    const traffic: string[] = []
    page.on('request', request => traffic.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData()}`))
    page.on('response', async response => traffic.push((await response.text().catch(() => '')) + JSON.stringify(response.headers())))
    await page.goto(origin)
    await use({ gateway, page, traffic })
    await page.close()
    backend.kill()
    await once(backend, 'exit')
    rmSync(dir, { recursive: true })
  },
})

let browser: Browser

/** What the page hears, with the token that the backend gives it. */
const hears = (page: Page, url: string, options: object = {}) =>
  page.evaluate(
    async ([url, options]) => {
      const { token } = (await (await fetch('/token')).json()) as { token: string }
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...(options as { headers?: object }).headers }
      const answer = await fetch(url, { ...options, headers })
      const names = ['etag', 'location', 'x-request-id', 'ratelimit', 'idempotency-replayed', 'retry-after']
      return { status: answer.status, headers: Object.fromEntries(names.map(name => [name, answer.headers.get(name)])) }
    },
    [url, options] as const,
  )

/** It takes every request, and breaks off in the middle of the answer. */
const breaking = () =>
  listen(
    createTcp(
      socket => void socket.once('data', () => socket.end('HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{')).on('error', () => {}),
    ),
  )

test.for([
  ['is away', freePort],
  ['breaks off', breaking],
] as const)('The backend of a page answers 503 while the gateway %s, and lives on', async ([, gatewayPort], { folder }) => {
  writeFileSync(join(folder, 'bff.mjs'), blockOf('js'))
  const port = await freePort()
  const env = { GATEWAY: `http://127.0.0.1:${await gatewayPort()}`, KEY: canaries.key, PORT: String(port) }
  const backend = spawn(process.execPath, ['bff.mjs'], { cwd: folder, env, stdio: 'ignore' })
  onTestFinished(() => void backend.kill())
  const ask = async () => (await fetch(`http://127.0.0.1:${port}/token`).catch(() => undefined))?.status

  await expect.poll(ask).toBe(503)
  expect(await ask()).toBe(503)
})

describe.skipIf(!installed('chromium'))('A page of another origin (needs chromium)', () => {
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
  })
  afterAll(() => browser.close())

  test('reads and writes its conversation, and never sees the key', async ({ site: { gateway, page, traffic }, sandbox }) => {
    await page.locator('li').first().waitFor()
    await page.getByRole('textbox').fill('<b>Hello</b> from the page')
    await page.getByRole('button').click()
    await page.getByText('<b>Hello</b> from the page').waitFor()

    expect(sandbox.sent).toMatchObject([{ destination: '34600000000', message: '<b>Hello</b> from the page' }])
    expect((await gateway.get('/sends')).json.items).toMatchObject([{ actor: 'alice', state: 'accepted' }])
    const stored = JSON.stringify(await page.context().storageState())
    for (const text of [await page.content(), stored, ...traffic])
      for (const secret of Object.values(canaries)) expect(text).not.toContain(secret)
  })

  test('sends once when the answer gets lost and the person presses Send again', async ({ site: { page }, sandbox }) => {
    await page.locator('li').first().waitFor()
    let posts = 0
    await page.route(/\/messages$/, async route => {
      if (route.request().method() !== 'POST' || ++posts > 1) return route.continue()
      await route.fetch()
      await route.abort()
    })
    const lost = page.waitForEvent('requestfailed')
    await page.getByRole('textbox').fill('Only once')
    await page.getByRole('button').click()
    await lost

    await page.getByRole('button').click()
    await page.getByText('Only once').waitFor()

    expect(posts).toBe(2)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('cannot touch the next conversation, and can read why', async ({ site: { gateway, page }, sandbox }) => {
    await page.locator('li').first().waitFor()
    const before = sandbox.calls.length
    const post = { method: 'POST', headers: { 'idempotency-key': 'k' }, body: '{"message":"Hello"}' }

    expect((await hears(page, gateway.url + next)).status).toBe(403)
    expect((await hears(page, gateway.url + next, post)).status).toBe(403)
    expect((await hears(page, `${gateway.url}/channels`)).status).toBe(403)
    expect((await hears(page, `${gateway.url}/sends/0196a000-0000-7000-8000-000000000001`, { method: 'DELETE' })).status).toBeOneOf([
      404, 405,
    ])
    expect(sandbox.calls).toHaveLength(before)
    expect((await hears(page, gateway.url + messages, post)).headers).toMatchObject({
      location: expect.stringContaining('/sends/'),
      'x-request-id': expect.any(String),
      ratelimit: expect.stringContaining('"token"'),
    })
    expect((await hears(page, gateway.url + messages, post)).headers['idempotency-replayed']).toBe('true')
    const { headers } = await hears(page, gateway.url + messages)
    expect(await hears(page, gateway.url + messages, { headers: { 'if-none-match': headers.etag }, cache: 'no-store' })).toMatchObject({
      status: 304,
    })
  })

  test('gets another token when its own has ended', async ({ site: { page } }) => {
    let asked = 0
    await page.route('**/token', route => {
      const ended = { json: { token: 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl' } }
      return ++asked === 1 ? route.fulfill(ended) : route.continue()
    })
    await page.reload()

    await page.locator('li').first().waitFor()
    expect(asked).toBe(2)
  })

  test('gets nothing if its origin is not listed', async ({ site: { gateway, page }, sandbox }) => {
    const token = await page.evaluate(async () => ((await (await fetch('/token')).json()) as { token: string }).token)
    const elsewhere: Server = createServer((_, response) => response.end('<title>Elsewhere</title>')).listen(0, '127.0.0.1')
    await once(elsewhere, 'listening')
    const other = await browser.newPage()
    await other.goto(`http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`)
    const before = sandbox.calls.length

    const said = await other.evaluate(
      ([url, token]) => fetch(`${url}`, { headers: { authorization: `Bearer ${token}` } }).then(String, error => error.name),
      [gateway.url + messages, token],
    )
    expect(said).toBe('TypeError')
    expect(sandbox.calls).toHaveLength(before)
    await other.close()
    elsewhere.closeAllConnections()
    elsewhere.close()
  })
})
