import { existsSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { barriers } from './examples/inbox.ts'
import { canaries, test } from './gateway.ts'

const executablePath = '/usr/bin/chromium'
const args =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const missing = !existsSync(executablePath)

let browser: Browser
beforeAll(async () => {
  if (!missing) browser = await chromium.launch({ executablePath, args: args.split(' ') })
})
afterAll(() => browser?.close())

/** Opens a page, and records its requests and its errors. */
async function visit(url: string, width = 1280, colorScheme: 'light' | 'dark' = 'light') {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const seen = { requests: [] as URL[], errors: [] as string[] }
  page.on('request', asked => seen.requests.push(new URL(asked.url())))
  page.on('console', message => seen.errors.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', error => seen.errors.push(error.message))
  page.on('requestfailed', failed => seen.errors.push(`failed: ${failed.url()}`))
  await page.goto(url)
  await page.locator('.opblock').first().waitFor()
  return { page, seen }
}

async function authorise(page: Page) {
  await page.locator('.btn.authorize').click()
  await page.locator('.auth-container input').first().fill(canaries.key)
  await page.locator('.auth-btn-wrapper .authorize').click()
  await page.locator('.auth-btn-wrapper .btn-done').click()
}

/** Opens an operation, executes it as it is prefilled, and reads the status that the page shows. */
async function tryOut(page: Page, operationId: string) {
  const operation = page.locator(`.opblock[id$="-${operationId}"]`)
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.execute').click()
  const status = await operation.locator('.live-responses-table tbody .response-col_status').innerText({ timeout: 40_000 })
  await operation.locator('.opblock-summary-control').click()
  return Number.parseInt(status, 10)
}

const six = {
  listChannels: 200,
  listChats: 200,
  listMessages: 200,
  listUnreadMessages: 200,
  sendMessage: 201,
  sendFile: 201,
}

async function tryOutAll(page: Page, operations: object) {
  const statuses: Record<string, number> = {}
  for (const operationId of Object.keys(operations)) statuses[operationId] = await tryOut(page, operationId)
  return statuses
}

/** A proxy in front of a gateway, which it shows under a path and nowhere else. */
async function startProxy(prefix: string) {
  const to = { gateway: '' }
  const server = createServer((asked, answer) => {
    const { pathname, search } = new URL(asked.url ?? '', 'http://proxy')
    if (!pathname.startsWith(`${prefix}/`)) return void answer.writeHead(404).end('not the gateway')
    const { method, headers } = asked
    const forwarded = request(to.gateway + pathname.slice(prefix.length) + search, { method, headers })
    forwarded.on('response', response => response.pipe(answer.writeHead(response.statusCode ?? 0, response.headers)))
    asked.pipe(forwarded)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`, to } // a listening TCP server has a port
}

describe('The docs page', () => {
  test.skipIf(missing)('tries out all six operations with a key that was entered once (needs Chromium)', async ({ gateway, sandbox }) => {
    const { page, seen } = await visit(`${gateway.url}/docs`)
    await authorise(page)

    const statuses = await tryOutAll(page, six)

    expect(statuses).toEqual(six)
    expect(sandbox.calls).toHaveLength(6)
    expect(sandbox.sent.map(({ method }) => method)).toEqual(['sendmessage', 'sendfile'])
    expect(seen.errors).toEqual([])
    expect(new Set(seen.requests.map(({ protocol, host }) => `${protocol}//${host}`))).toEqual(new Set([gateway.url]))
    expect(await page.title()).toBe('Afilnet gateway')
  })

  test.skipIf(missing).for([390, 320])('fits a window of %i pixels (needs Chromium)', async (width, { gateway }) => {
    const { page, seen } = await visit(`${gateway.url}/docs`, width)
    for (const operation of ['sendMessage', 'sendFile', 'storeMedia', 'listEvents']) {
      await page.locator(`.opblock[id$="-${operation}"] .opblock-summary-control`).click()
      await page.locator(`.opblock[id$="-${operation}"] .response-control-examples`).first().waitFor({ state: 'attached' })
    }

    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
    expect(seen.errors).toEqual([])
  })

  test.skipIf(missing)('shows what came of a stream of events, which never ends (needs Chromium)', async ({ start }) => {
    const gateway = await start({ env: { EVENTS_CHANNELS: 'whatsapp/100' } })
    const { page, seen } = await visit(`${gateway.url}/docs`)
    await authorise(page)
    const operation = page.locator('.opblock[id$="-listEvents"]')
    await operation.locator('.opblock-summary-control').click()
    await operation.locator('.responses-wrapper select.content-type').first().selectOption('text/event-stream')

    await operation.locator('.execute').click()

    await operation.locator('.live-responses-table', { hasText: 'retry: 3000' }).waitFor()
    expect(await operation.locator('.loading-container').count()).toBe(0)
    expect(seen.errors.map(error => error.split('?')[0])).toEqual([`failed: ${gateway.url}/events`]) // the page ended it
  })

  test.skipIf(missing)(
    'keeps the key over a reload if the person chooses that, until they choose otherwise (needs Chromium)',
    async ({ gateway }) => {
      const { page, seen } = await visit(`${gateway.url}/docs`)
      const stored = () => page.evaluate('JSON.stringify({ ...localStorage })') as Promise<string>
      await page.evaluate("localStorage.setItem('theme', 'dark')") // of another page of the origin
      await page.locator('.btn.authorize').click()
      await page.locator('.auth-container input').first().fill(canaries.key)
      await page.locator('.keep-key input').check()
      await page.locator('.auth-btn-wrapper .authorize').click()
      await page.locator('.auth-btn-wrapper .btn-done').click()
      await page.reload()
      const status = await tryOut(page, 'getMe')
      const kept = await stored()
      await page.locator('.btn.authorize').click()
      await page.locator('.keep-key input').uncheck()

      expect(status).toBe(200)
      expect(kept).toContain(canaries.key)
      expect(await stored()).toBe('{"theme":"dark"}')
      expect(seen.errors).toEqual([])
    },
  )

  test.skipIf(missing)('is for telephones, for the dark, for the keyboard and for screen readers (needs Chromium)', async ({ gateway }) => {
    const { page } = await visit(`${gateway.url}/docs`, 390, 'dark')
    await page.locator('.opblock-summary-control').first().focus()
    await page.keyboard.press('Enter')
    await page.locator('.opblock .execute').waitFor()

    expect(await page.locator('meta[name=viewport]').getAttribute('content')).toContain('width=device-width')
    expect(await page.evaluate('getComputedStyle(document.querySelector(".swagger-ui")).backgroundColor')).toBe('rgb(28, 32, 34)')
    expect(await page.locator('.info details[open]').count()).toBe(0)
  })

  test.skipIf(missing)('takes a key where the browser keeps nothing for a site (needs Chromium)', async ({ gateway }) => {
    const { page, seen } = await visit(`${gateway.url}/docs`)
    await page.addInitScript("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError') } })")
    await page.reload()
    await authorise(page)

    expect(await tryOut(page, 'getMe')).toBe(200)
    expect(seen.errors).toEqual([])
  })

  test.skipIf(missing)('forgets the key when it is loaded again (needs Chromium)', async ({ gateway }) => {
    const { page } = await visit(`${gateway.url}/docs/`)
    await authorise(page)
    await tryOut(page, 'getMe')

    await page.reload()
    const kept = await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])')
    const status = await tryOut(page, 'getMe')

    expect(kept).toBe('[{},{},""]')
    expect(await page.context().cookies()).toEqual([])
    expect(status).toBe(401)
  })

  test.skipIf(missing)('takes nothing foreign from its query (needs Chromium)', async ({ gateway }) => {
    const evil = 'url=https://evil.example/x.json&configUrl=https://evil.example/c.json&urls=https://evil.example/x.json'
    const { page, seen } = await visit(`${gateway.url}/docs/?${evil}`)

    expect(await page.locator('.info .title').innerText()).toContain('Afilnet gateway')
    expect(seen.requests.filter(({ host }) => host !== new URL(gateway.url).host)).toEqual([])
    expect(seen.errors).toEqual([])
  })

  test.skipIf(missing)('works under a path behind a proxy (needs Chromium)', async ({ start }) => {
    const { url, to } = await startProxy('/chat-api')
    const gateway = await start({ env: { PUBLIC_URL: url } })
    to.gateway = gateway.url
    const { page, seen } = await visit(`${url}/docs`)
    await authorise(page)

    const two = { listChannels: 200, sendMessage: 201 }
    const statuses = await tryOutAll(page, two)
    const refused = (await (await fetch(`${url}/nothing`)).json()) as { type: string }
    const explained = await fetch(refused.type)

    expect(statuses).toEqual(two)
    expect(seen.errors).toEqual([])
    expect(seen.requests.filter(({ href }) => !href.startsWith(`${url}/`) && !href.startsWith('data:'))).toEqual([])
    expect(refused.type).toBe(`${url}/problems/not-found`)
    expect(await explained.json()).toMatchObject({ code: 'not-found' })
  })
})

describe('The pages of the gateway', () => {
  test
    .skipIf(missing)
    .for(
      ['/', '/problems', '/problems/upstream-timeout', '/docs'].flatMap(path =>
        (['light', 'dark'] as const).flatMap(scheme => [1280, 390].map(width => [path, scheme, width] as const)),
      ),
    )(
    '%s in %s at %i pixels: axe-core finds nothing serious, and it fits (needs Chromium)',
    async ([path, colorScheme, width], { gateway }) => {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 844 }, bypassCSP: true })
      onTestFinished(() => context.close())
      const page = await context.newPage()
      await page.goto(gateway.url + path)
      if (path === '/docs') await page.locator('.opblock').first().waitFor()

      expect(await barriers(page)).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
    },
  )
})

describe('An operation of the docs page', () => {
  test.skipIf(missing).for(['light', 'dark'] as const)(
    'has no barrier in %s when it is open (needs Chromium)',
    async (colorScheme, { gateway }) => {
      const context = await browser.newContext({ colorScheme, bypassCSP: true })
      onTestFinished(() => context.close())
      const page = await context.newPage()
      await page.goto(`${gateway.url}/docs`)
      const operation = page.locator('.opblock[id$="-sendMessage"]')
      await operation.locator('.opblock-summary-control').click()
      await operation.locator('.responses-inner .highlight-code').first().waitFor()

      expect(await barriers(page, '.opblock.is-open')).toEqual([])
      expect(await operation.getByLabel('Request body').count()).toBe(1)
      expect(await operation.getByLabel('Example').count()).toBeGreaterThan(1)
    },
  )
})

describe('A problem’s page', () => {
  test.skipIf(missing)('is a page without errors in the browser (needs Chromium)', async ({ gateway }) => {
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    const page = await context.newPage()
    const errors: string[] = []
    page.on('console', message => errors.push(message.text()))

    await page.goto(`${gateway.url}/problems/upstream-timeout`)

    expect(await page.locator('h1').innerText()).toBe('Afilnet did not answer in time')
    expect(await page.evaluate('getComputedStyle(document.body).maxWidth')).toBe('640px')
    await (await context.newCDPSession(page)).send('Page.setFontSizes', { fontSizes: { standard: 24 } })
    expect(await page.evaluate('getComputedStyle(document.body).fontSize')).toBe('24px') // as the browser is set to
    expect(errors.filter(text => !text.includes('favicon.ico'))).toEqual([])
  })
})
