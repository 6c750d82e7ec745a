import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { startInbox } from '../../examples/inbox/server/inbox.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, type StartOptions, type TestGateway, test } from '../gateway.ts'

const executablePath = '/usr/bin/chromium'
const missing = !existsSync(executablePath)
const address = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const patience = { timeout: 40_000 }

let browser: Browser
beforeAll(async () => {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  if (!missing) browser = await chromium.launch({ executablePath, args })
})
afterAll(() => browser?.close())

/** A gateway that watches every channel, and an inbox in front of it. */
async function open(start: (options?: StartOptions) => Promise<TestGateway>, sandbox: Sandbox) {
  const inbox = await startInbox({ key: canaries.key })
  const folder = await mkdtemp(join(tmpdir(), 'inbox-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  onTestFinished(() => inbox.close())
  const gateway = await start({
    env: { EVENTS_CHANNELS: '*', EVENTS_INTERVAL_MS: '1000', CORS_ORIGINS: inbox.url, MEDIA_STORE: `file:${folder}` },
  })
  await inbox.connect(gateway.url)
  const looked = (calls: Sandbox['calls']) => calls.filter(({ params }) => params.some(([, value]) => value === 'getchats')).length
  await sandbox.until(({ calls }) => looked(calls) > 8, 40_000) // what was there before the second look at each channel is not new
  return { inbox, gateway }
}

async function visit(url: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  await page.goto(url)
  await page.locator('.conversation').first().waitFor(patience)
  return { page, context, errors }
}

const openChat = async (page: Page, name = address.destination) => {
  await page.locator('.conversation', { hasText: name }).first().click()
  await page.locator('.line').first().waitFor(patience)
}
const write = async (page: Page, text: string) => {
  await page.locator('#text').fill(text)
  await page.keyboard.press('Enter')
}
const line = (page: Page, text: string) => page.locator('.line', { hasText: text })

describe('The inbox', { timeout: 120_000 }, () => {
  test.skipIf(missing)(
    'carries a conversation between two pages and a customer, each message once (needs Chromium)',
    async ({ start, sandbox }) => {
      const { inbox } = await open(start, sandbox)
      const [one, two] = await Promise.all([visit(inbox.url), visit(inbox.url)])
      await Promise.all([openChat(one.page), openChat(two.page)])

      await write(one.page, 'We open at nine')
      await line(two.page, 'We open at nine').waitFor(patience)
      sandbox.receive({ ...address, message: 'See you at nine' })
      await Promise.all([one, two].map(({ page }) => line(page, 'See you at nine').waitFor(patience)))

      for (const { page, errors } of [one, two]) {
        expect(await line(page, 'We open at nine').count()).toBe(1)
        expect(await line(page, 'See you at nine').count()).toBe(1)
        expect(await page.locator('.conversation').first().innerText()).toContain('See you at nine')
        expect(errors).toEqual([])
      }
      expect(await line(one.page, 'We open at nine').innerText()).toContain('Sent')
      expect(await two.page.locator('#announcer').innerText()).toContain('See you at nine')
      expect(sandbox.sent.filter(({ message }) => message === 'We open at nine')).toHaveLength(1)
    },
  )

  test.skipIf(missing)(
    'sends once what was written while the page was offline, and shows what it missed (needs Chromium)',
    async ({ start, sandbox }) => {
      const { inbox } = await open(start, sandbox)
      const { page, context } = await visit(inbox.url)
      await openChat(page)

      await context.setOffline(true)
      await write(page, 'Written in a tunnel')
      await line(page, 'Waiting for the connection').waitFor(patience)
      sandbox.receive({ ...address, message: 'Said meanwhile' })
      expect(sandbox.sent).toEqual([])
      await context.setOffline(false)
      await line(page, 'Said meanwhile').waitFor(patience)
      await expect.poll(() => sandbox.sent.length).toBe(1)
      await expect.poll(() => line(page, 'Written in a tunnel').innerText()).toContain('Sent')

      expect(await line(page, 'Written in a tunnel').count()).toBe(1)
      expect(sandbox.sent).toHaveLength(1)
    },
  )

  test.skipIf(missing)('says what is not known, and asks again without sending again (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)
    sandbox.receive({ ...address, destination: 'drops', message: 'I am far away' })
    const { page } = await visit(`${inbox.url}/#whatsapp/100/drops`)

    await write(page, 'Can you hear me?')
    await page.getByRole('button', { name: 'Check again' }).click(patience)
    await page.getByRole('button', { name: 'Check again' }).waitFor(patience)

    expect(await line(page, 'Can you hear me?').innerText()).toContain('Perhaps sent')
    expect(sandbox.sent).toHaveLength(1)
  })

  test.skipIf(missing)('shows why a message was refused (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)
    const { page } = await visit(`${inbox.url}/#whatsapp/100/NO_ROUTE_AVAILABLE`)

    await write(page, 'Hello')

    await line(page, 'Not sent: refused').waitFor(patience)
    expect(await line(page, 'Hello').innerText()).toContain('Afilnet has no route to this destination')
  })

  test.skipIf(missing)('goes on with a new token when the old one ends (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)
    const { page } = await visit(inbox.url)
    let refusals = 0
    await page.route(/\/messages$/, async route => {
      if (route.request().method() !== 'POST' || refusals++ > 0) return route.continue()
      await route.continue({ headers: { ...route.request().headers(), authorization: 'Bearer an-expired-token-012345' } })
    })
    await openChat(page)

    await write(page, 'Still here')

    await expect.poll(() => line(page, 'Still here').innerText(), patience).toContain('Sent')
    expect(refusals).toBeGreaterThan(1)
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['Still here'])
  })

  test.skipIf(missing)('sends a photo that is dropped into the conversation (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)
    const { page } = await visit(inbox.url)
    await openChat(page)
    const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
    const dataTransfer = await page.evaluateHandle(`(() => {
      const bytes = Uint8Array.from(atob('${png}'), character => character.charCodeAt(0))
      const dropped = new DataTransfer()
      dropped.items.add(new File([bytes], 'photo.png', { type: 'image/png' }))
      return dropped
    })()`)

    await page.dispatchEvent('#thread', 'dragenter', { dataTransfer })
    expect(await page.locator('#drop').isVisible()).toBe(true)
    await page.dispatchEvent('#thread', 'drop', { dataTransfer })
    await expect.poll(() => sandbox.sent.length, patience).toBe(1)

    const [{ type, fileurl }] = sandbox.sent as unknown as [{ type: string; fileurl: string }] // of a file
    expect(type).toBe('image')
    expect(Buffer.from(await (await fetch(fileurl)).arrayBuffer()).toString('base64')).toBe(png)
    expect(await page.locator('.bubble img[alt="photo.png"]').isVisible()).toBe(true)
    await expect.poll(() => page.locator('.line.out').last().innerText(), patience).toContain('Sent')
  })

  test.skipIf(missing)('works with the keyboard alone (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)
    const { page } = await visit(inbox.url)
    const { keyboard } = page

    await page.locator('#search').focus()
    await keyboard.press('Tab')
    await keyboard.press('End')
    await keyboard.press('Home')
    await keyboard.press('Enter')
    await page.locator('.line').first().waitFor(patience)
    expect(await page.evaluate('document.activeElement.id')).toBe('text')
    await keyboard.type('No mouse needed')
    await keyboard.press('Enter')
    await line(page, 'No mouse needed').waitFor(patience)
    await expect.poll(() => sandbox.sent.length).toBe(1)
    await keyboard.press('Escape')

    expect(await page.locator('#thread').isVisible()).toBe(false)
    expect(await page.evaluate('document.activeElement.id')).toBe('conversations')
  })

  test.skipIf(missing)('keeps only what is visible in the document (needs Chromium)', async ({ start, sandbox }) => {
    sandbox.fill({ platform: 'whatsapp', platformid: '100', conversations: 1_000 })
    for (let n = 1; n <= 10_000; n++) sandbox.receive({ ...address, message: `Message ${n}` })
    const { inbox } = await open(start, sandbox)
    const { page } = await visit(inbox.url)

    await openChat(page)
    await line(page, 'Message 10000').waitFor(patience)
    for (let pages = 0; pages < 3; pages++) {
      await page.evaluate('document.getElementById("messages").scrollTop = 0')
      await expect.poll(() => page.locator('.line').first().getAttribute('aria-setsize').then(Number)).toBeGreaterThan(50 * (pages + 1))
    }

    expect(await page.locator('.conversation').first().getAttribute('aria-setsize').then(Number)).toBeGreaterThan(1_000)
    expect(await page.locator('.conversation').count()).toBeLessThan(40)
    expect(await page.locator('.line').count()).toBeLessThan(60)
  })

  test.skipIf(missing)('neither shows nor keeps the key or the password (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)
    const { page, context } = await visit(inbox.url)
    const said: string[] = []
    page.on('request', request => said.push(request.url(), JSON.stringify(request.headers()), request.postData() ?? ''))
    page.on('response', async response => {
      said.push(JSON.stringify(response.headers()))
      if (!/event-stream/.test(response.headers()['content-type'] ?? '')) said.push(await response.text().catch(() => ''))
    })
    await page.goto(inbox.url)
    await openChat(page)
    await write(page, 'Secrets stay at home')
    await expect.poll(() => line(page, 'Secrets stay at home').innerText(), patience).toContain('Sent')
    said.push(await page.content(), (await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }])')) as string)
    said.push(JSON.stringify(await context.cookies()))

    const text = said.join('\n')
    expect(text).toContain('Secrets stay at home')
    for (const secret of Object.values(canaries)) {
      for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')])
        expect(text.includes(form)).toBe(false)
    }
  })

  const axe = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
  test.skipIf(missing).for([
    [1280, 'light'],
    [390, 'dark'],
  ] as const)(
    'at %i pixels in %s: axe-core finds nothing serious, and it fits (needs Chromium)',
    async ([width, colorScheme], { start, sandbox }) => {
      const { inbox } = await open(start, sandbox)
      const { page } = await visit(inbox.url, { viewport: { width, height: 800 }, colorScheme, bypassCSP: true })
      const look = async () => {
        await page.evaluate(axe)
        const { violations } = (await page.evaluate('axe.run()')) as { violations: { id: string; impact: string; nodes: object[] }[] }
        return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      }

      expect(await look()).toEqual([])
      await openChat(page)
      await write(page, 'Hello')
      await line(page, 'Sent').last().waitFor(patience)
      expect(await look()).toEqual([])
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
    },
  )

  test.skipIf(missing)('refuses other sites and other names (needs Chromium)', async ({ start, sandbox }) => {
    const { inbox } = await open(start, sandbox)

    const crossSite = await fetch(`${inbox.url}/api/conversations`, { headers: { 'sec-fetch-site': 'cross-site' } })
    const own = await fetch(`${inbox.url}/api/conversations`)
    const outside = await fetch(`${inbox.url}/page/..%2f..%2f..%2fpackage.json`)

    expect([crossSite.status, own.status, outside.status]).toEqual([403, 200, 404])
  })
})
