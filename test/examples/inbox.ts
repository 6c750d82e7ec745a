import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { onTestFinished } from 'vitest'
import { startInbox } from '../../examples/inbox/server/inbox.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { test as base, canaries, type StartOptions, type TestGateway } from '../gateway.ts'

const executablePath = '/usr/bin/chromium'
export const missing = !existsSync(executablePath)
export const address = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
export const patience = { timeout: 40_000 }

/** An inbox without a gateway yet, and the environment of one for it, which watches every channel. */
export async function createInbox() {
  const inbox = await startInbox({ key: canaries.key })
  const folder = await mkdtemp(join(tmpdir(), 'inbox-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  onTestFinished(() => inbox.close())
  const env = { EVENTS_CHANNELS: '*', EVENTS_INTERVAL_MS: '1000', CORS_ORIGINS: inbox.url, MEDIA_STORE: `file:${folder}` }
  return { inbox, folder, env }
}

/** Waits until the gateway has looked at each channel twice: what was there before the second look is not new. */
export function untilWatched(sandbox: Sandbox, looks = 8) {
  const looked = (calls: Sandbox['calls']) => calls.filter(({ params }) => params.some(([, value]) => value === 'getchats')).length
  const before = looked(sandbox.calls)
  return sandbox.until(({ calls }) => looked(calls) > before + looks)
}

/** A gateway that watches every channel, and an inbox in front of it. */
export async function open(start: (options?: StartOptions) => Promise<TestGateway>, sandbox: Sandbox) {
  const { inbox, env } = await createInbox()
  const gateway = await start({ env })
  await inbox.connect(gateway.url)
  await untilWatched(sandbox)
  return { inbox, gateway }
}

export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  await page.goto(url)
  await page.locator('.conversation').first().waitFor(patience)
  return { page, context, errors }
}

/** A page of an inbox, in front of a gateway that watches every channel. */
export const test = base.extend<Served & Visited & { browser: Browser; served: Served; visited: Visited }>({
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
    async ({}, use) => {
      const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync']
      const browser = await chromium.launch({ executablePath, args })
      await use(browser)
      await browser.close()
    },
    { scope: 'file' },
  ],
  served: async ({ start, sandbox }, use) => use(await open(start, sandbox)),
  inbox: async ({ served }, use) => use(served.inbox),
  gateway: async ({ served }, use) => use(served.gateway),
  visited: async ({ browser, inbox }, use) => use(await visit(browser, inbox.url)),
  page: async ({ visited }, use) => use(visited.page),
  context: async ({ visited }, use) => use(visited.context),
  errors: async ({ visited }, use) => use(visited.errors),
})
type Served = Awaited<ReturnType<typeof open>>
type Visited = Awaited<ReturnType<typeof visit>>

export async function openChat(page: Page, name = address.destination) {
  await page.locator('.conversation', { hasText: name }).first().click()
  await page.locator('.line').first().waitFor(patience)
}

export async function write(page: Page, text: string) {
  await page.locator('#text').fill(text)
  await page.keyboard.press('Enter')
}

export const line = (page: Page, text: string) => page.locator('.line', { hasText: text })

const axe = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')

/** What axe-core finds that keeps people out. The page needs a context that bypasses its CSP. */
export async function barriers(page: Page, within = 'html') {
  await page.evaluate(axe)
  const found = (await page.evaluate(`axe.run('${within}')`)) as {
    violations: { id: string; impact: string; nodes: { target: string[] }[] }[]
  }
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`)
}
