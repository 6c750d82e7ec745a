import { hash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { readConfig } from '../../src/config/config.ts'
import { startGateway } from '../../src/gateway.ts'
import { startSandbox } from '../../src/sandbox/app.ts'
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

const sandbox = await startSandbox({})
const config = readConfig({
  PORT: '0',
  ADMIN_PORT: '0',
  AFILNET_USER: sandbox.user,
  AFILNET_PASSWORD: sandbox.password,
  AFILNET_URL: `${sandbox.url}/api/http/`,
  GATEWAY_KEY_SHA256: hash('sha256', key),
  STORE_URL: 'sqlite::memory:',
  LOG_LEVEL: 'silent',
})
const gateway = await startGateway(config, createLogger(config.logLevel))
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args })
const page = await browser.newPage({ viewport: { width: 1280, height: 860 } })

await page.goto(`${gateway.url}/docs`)
await page.locator('.btn.authorize').click()
await page.locator('.auth-container input').fill(key)
await page.locator('.auth-btn-wrapper .authorize').click()
await page.locator('.auth-btn-wrapper .btn-done').click()
const operation = page.locator('.opblock[id$="-sendMessage"]')
await operation.locator('.opblock-summary-control').click()
await operation.locator('.execute').click()
await operation.locator('.live-responses-table tbody .response-col_status').waitFor()
await operation.locator('.responses-wrapper').evaluate(element => element.scrollIntoView())
await page.screenshot({ path: `${images}swagger-ui.png` })

await browser.close()
await gateway.drain()
await sandbox.close()
