import { hash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { startInbox } from '../../examples/inbox/server/inbox.ts'
import { readConfig } from '../../src/config/config.ts'
import { startGateway } from '../../src/gateway.ts'
import { startSandbox } from '../../src/sandbox/app.ts'
import { talkative } from '../../src/sandbox/customers.ts'
import { createLogger } from '../../src/telemetry/log.ts'

// Renews the pictures in docs/images from a running gateway in Chromium.
const images = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const key = 'fake_screenshot_key_0123456789abcdef'
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const sandbox = await startSandbox({ customers: talkative })
const inbox = await startInbox({ key })
const config = readConfig({
  PORT: '0',
  ADMIN_PORT: '0',
  AFILNET_USER: sandbox.user,
  AFILNET_PASSWORD: sandbox.password,
  AFILNET_URL: `${sandbox.url}/api/http/`,
  GATEWAY_KEY_SHA256: hash('sha256', key),
  STORE_URL: 'sqlite::memory:',
  EVENTS_CHANNELS: '*',
  EVENTS_INTERVAL_MS: '1000',
  CORS_ORIGINS: inbox.url,
  LOG_LEVEL: 'silent',
})
const gateway = await startGateway(config, createLogger(config.logLevel))
await inbox.connect(gateway.url)
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args })
const page = await browser.newPage({ viewport: { width: 1280, height: 860 } })

await page.goto(`${gateway.url}/docs`)
await page.locator('.btn.authorize').click()
await page.locator('.auth-container input').fill(key)
await page.locator('.auth-btn-wrapper .authorize').click()
await page.locator('.auth-btn-wrapper .btn-done').click()
const operation = page.locator('.opblock[id$="-sendMessage"]')
await operation.locator('.opblock-summary-control').click()
await operation.locator('tr[data-param-name="Idempotency-Key"] input').fill('order-4711-shipped')
await operation.locator('.execute').click()
await operation.locator('.live-responses-table tbody .response-col_status').waitFor()
await operation
  .locator('.execute-wrapper, .btn-group')
  .first()
  .evaluate(element => element.scrollIntoView())
await page.screenshot({ path: `${images}swagger-ui.png` })

for (const [width, height] of [
  [1280, 800],
  [390, 844],
] as const) {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme })
    await page.goto(inbox.url)
    await page.locator('.conversation', { hasText: '34600000000' }).first().click()
    await page.locator('.line').first().waitFor()
    if (width === 1280 && colorScheme === 'light') {
      await page.locator('#text').fill('We are open until eight. Shall we keep your order?')
      await page.keyboard.press('Enter')
      await page.locator('#announcer:not(:empty)').waitFor({ state: 'attached', timeout: 60_000 }) // the customer has answered
    }
    await page.locator('#messages').getByText('Shall we keep your order?').waitFor()
    await page.screenshot({ path: `${images}inbox-${width}-${colorScheme}.png` })
    await page.close()
  }
}

await browser.close()
await inbox.close()
await gateway.drain()
await sandbox.close()
