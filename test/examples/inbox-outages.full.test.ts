import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { freePort } from '../../bench/programs.ts'
import { readConfig } from '../../src/config/config.ts'
import { createGatewayProcess } from '../fault-injection/gateway-process.ts'
import { environment } from '../gateway.ts'
import { issue } from '../tokens/issuing.ts'
import { address, createInbox, line, missing, openChat, patience, test, untilWatched, visit, write } from './inbox.ts'

describe.skipIf(missing)('The inbox, when something is away (needs Chromium)', () => {
  test('sends once what was written while the page was offline, and shows what it missed', async ({ context, page, sandbox }) => {
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
  })

  test('says that the gateway was killed, and goes on where it was once it is back', async ({ browser, sandbox }) => {
    const { inbox, folder, env } = await createInbox()
    const given = { ...environment(sandbox, 5_000), ...env, STORE_URL: `sqlite:${join(folder, 'ledger.sqlite')}`, LOG_LEVEL: 'info' }
    const gateway = createGatewayProcess(given as Record<string, string>, await freePort())
    onTestFinished(async () => void (await gateway.stop('SIGKILL')))
    await gateway.start()
    await inbox.connect(gateway.url())
    await untilWatched(sandbox)
    const { page, errors } = await visit(browser, inbox.url)
    await openChat(page)
    await write(page, 'Before the crash')
    await line(page, 'Before the crash').getByText('Sent').waitFor(patience)

    await gateway.stop('SIGKILL')
    await page.locator('#connection', { hasText: 'The gateway cannot be reached' }).waitFor(patience)
    await write(page, 'Written meanwhile')
    await line(page, 'Waiting for the connection').waitFor(patience)
    sandbox.receive({ ...address, message: 'Said meanwhile' })
    sandbox.receive({ ...address, destination: '34600000009', message: 'A new customer meanwhile' })
    expect(sandbox.sent).toHaveLength(1)
    await gateway.start()

    await line(page, 'Said meanwhile').waitFor(patience)
    await line(page, 'Written meanwhile').getByText('Sent').waitFor(patience)
    await page.locator('.conversation', { hasText: 'A new customer meanwhile' }).waitFor(patience)
    await page.locator('#connection').waitFor({ state: 'hidden', ...patience })
    for (const text of ['Before the crash', 'Said meanwhile', 'Written meanwhile']) expect(await line(page, text).count(), text).toBe(1)
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['Before the crash', 'Written meanwhile'])
    sandbox.receive({ ...address, message: 'And live again' })
    await line(page, 'And live again').waitFor(patience)
    expect(errors).toEqual([])
  })

  test('goes on with a new token when the old one ends', async ({ page, sandbox }) => {
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

  test('does not call a message unsent that an earlier try may have sent', async ({ inbox, page, sandbox }) => {
    const limited = { code: 'rate-limited', title: 'Too many requests', status: 429, outcome: 'not_applied', retry: 'yes' }
    const headers = { 'content-type': 'application/problem+json', 'access-control-allow-origin': inbox.url }
    let tries = 0
    await page.route(/\/events\?/, route => route.abort()) // an event would tell the page what became of it
    await page.route(/\/messages$/, async route => {
      if (route.request().method() !== 'POST' || ++tries > 4) return route.continue()
      if (tries > 2) return route.fulfill({ status: 429, headers, body: JSON.stringify(limited) })
      await route.fetch()
      await route.abort() // the gateway sent it, and the answer got lost
    })
    await openChat(page)

    await write(page, 'Sent in doubt')
    await line(page, 'Sent in doubt').getByText('Perhaps sent').waitFor(patience)
    expect(sandbox.sent).toHaveLength(1)
    await line(page, 'Sent in doubt').getByText('Check again').click()

    await line(page, 'Sent in doubt').getByText('Sent, sent').waitFor(patience)
    expect(sandbox.sent).toHaveLength(1)
  })

  test('opens a conversation once it gets a token, if the first try fails', async ({ page, sandbox }) => {
    let asked = 0
    await page.route('**/api/tokens', route => (++asked === 1 ? route.fulfill({ status: 502, json: {} }) : route.continue()))

    await page.locator('.conversation', { hasText: address.destination }).first().click()
    await write(page, 'Written before it opened')

    await line(page, 'Written before it opened').getByText('Sent').waitFor(patience)
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['Written before it opened'])
    await expect.poll(() => page.locator('.line').count(), patience).toBeGreaterThan(1)
  })

  test('keeps what arrives while it reads the conversation', async ({ page, sandbox }) => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    let held = 0
    await page.route(/\/messages\?limit=50/, async route => {
      const response = await route.fetch()
      held++
      await released
      await route.fulfill({ response })
    })
    const listening = page.waitForResponse(/\/events\?/, patience)
    await page.locator('.conversation', { hasText: address.destination }).first().click()
    await listening
    await expect.poll(() => held, patience).toBe(1)

    sandbox.receive({ ...address, message: 'Said while it reads' })
    await line(page, 'Said while it reads').waitFor(patience)
    release()

    await expect.poll(() => page.locator('.line').count(), patience).toBeGreaterThan(1)
    expect(await line(page, 'Said while it reads').count()).toBe(1)
  })

  test('says why it lists no conversations, until it can', async ({ page }) => {
    const refused = { status: 502, json: { code: 'upstream-credentials-rejected' } }
    await page.route('**/api/conversations', route => route.fulfill(refused))

    await page.reload()
    await page.locator('#connection', { hasText: 'cannot be listed (upstream-credentials-rejected)' }).waitFor(patience)
    await page.unroute('**/api/conversations')

    await page.locator('.conversation').first().waitFor(patience)
    await page.locator('#connection').waitFor({ state: 'hidden', ...patience })
  })

  test('says once that the inbox is away, however often it tries', async ({ context, page }) => {
    let tries = 0
    await page.route('**/api/events', route => {
      tries++
      return route.fulfill({ contentType: 'text/event-stream', body: 'retry: 10\n\n' })
    })
    await page.addInitScript(`window.said = []
    addEventListener('DOMContentLoaded', () => {
      const status = document.getElementById('connection')
      new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true })
    })`)
    await page.reload()

    await expect.poll(() => tries, patience).toBeGreaterThan(5)

    expect(await page.evaluate('said')).toEqual(['The inbox cannot be reached. It is trying again…'])
    await page.unroute('**/api/events')
    await page.locator('#connection').waitFor({ state: 'hidden', ...patience })
    const { nodes } = await (await context.newCDPSession(page)).send('Accessibility.getFullAXTree')
    expect(nodes.filter(({ ignored, role }) => !ignored && role?.value === 'status')).toHaveLength(1)
  })

  test('reads the list once at a time, however often it is asked to while that fails', async ({ page }) => {
    const reset = 'event: reset\ndata: {}\n\n'
    await page.route('**/api/events', route =>
      route.fulfill({ contentType: 'text/event-stream', body: `retry: 100000\n${reset.repeat(20)}` }),
    )
    let reading = 0
    let most = 0
    let reads = 0
    await page.route('**/api/conversations', async route => {
      most = Math.max(most, ++reading)
      await page.evaluate('new Promise(done => setTimeout(done))').catch(() => {})
      reading--
      reads++
      await route.fulfill({ status: 502, json: { code: 'upstream-unreachable' } })
    })

    await page.reload()
    await expect.poll(() => reads, patience).toBeGreaterThan(2)

    expect(most).toBe(1)
  })

  test('comes back to a stream that something else answered for the inbox', async ({ page, sandbox }) => {
    await page.route('**/api/events', route => route.fulfill({ status: 502, body: 'Bad gateway' }), { times: 1 })

    await page.reload()
    await page.locator('#connection', { hasText: 'The inbox cannot be reached' }).waitFor(patience)
    await page.locator('#connection').waitFor({ state: 'hidden', ...patience })
    sandbox.receive({ ...address, message: 'Heard after that' })

    await page.locator('.conversation', { hasText: 'Heard after that' }).waitFor(patience)
  })

  test('keeps what arrives while it reads the list, and lists no conversation that has gone', async ({ page, sandbox }) => {
    await page.addInitScript(`window.streams = []
    window.EventSource = class extends EventSource {
      constructor(url) {
        super(url)
        streams.push(this)
      }
    }`)
    await page.reload()
    const rows = page.locator('.conversation')
    await rows.filter({ hasText: 'Operators' }).first().waitFor(patience)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const { promise: held, resolve: hold } = Promise.withResolvers<void>()
    await page.route('**/api/conversations', async route => {
      const response = await route.fetch()
      const { items, unlisted } = await response.json()
      hold()
      await released
      await route.fulfill({ json: { items: items.filter((one: { platform: string }) => one.platform !== 'operator'), unlisted } })
    })
    await page.evaluate("streams[0].dispatchEvent(new Event('reset'))")
    await held

    sandbox.receive({ ...address, message: 'Said while it lists' })
    await rows.filter({ hasText: 'Said while it lists' }).waitFor(patience)
    release()

    await expect.poll(() => rows.filter({ hasText: 'Operators' }).count(), patience).toBe(0)
    expect(await rows.filter({ hasText: 'Said while it lists' }).count()).toBe(1)
  })

  test('reads and listens again in an open conversation once it may, and says why not until then', async ({ browser, sandbox, start }) => {
    const { inbox, env } = await createInbox()
    const config = readConfig({ ...environment(sandbox, 5_000), ...env })
    const { default: caller = expect.fail() } = config.callers
    const gateway = await start({ env })
    await inbox.connect(gateway.url)
    await untilWatched(sandbox)
    const { page } = await visit(browser, inbox.url)
    await openChat(page)

    await gateway.reload({ ...config, callers: { default: { ...caller, chats: ['whatsapp/100/34600000001'] } } })
    await page.locator('#connection', { hasText: 'This conversation cannot be read (chat-not-allowed)' }).waitFor(patience)
    await gateway.reload(config)

    await page.locator('#connection').waitFor({ state: 'hidden', ...patience })
    sandbox.receive({ ...address, message: 'Heard again' })
    await line(page, 'Heard again').waitFor(patience)
  })

  test('sends in the order in which it was written, although a try of the first fails', async ({ page, sandbox }) => {
    await openChat(page)
    let tries = 0
    await page.route(/\/messages$/, route => (route.request().method() === 'POST' && ++tries <= 2 ? route.abort() : route.continue()))

    await write(page, 'First of two')
    await write(page, 'Second of two')
    await line(page, 'Second of two').getByText('Waiting').waitFor(patience)
    await line(page, 'Second of two').getByText('Sent').waitFor(patience)

    expect(sandbox.sent.map(({ message }) => message)).toEqual(['First of two', 'Second of two'])
  })

  test('goes on when its token really ends, sending and listening', async ({ errors, gateway, page, sandbox }) => {
    const short = await issue(gateway, { ttlSeconds: 60, scopes: ['messages:read', 'messages:send', 'events:read'] })
    let issued = 0
    await page.route('**/api/tokens', route =>
      ++issued === 1 ? route.fulfill({ status: 201, json: { token: short, gatewayUrl: gateway.url } }) : route.continue(),
    )
    await openChat(page)
    sandbox.receive({ ...address, message: 'Heard with the first token' })
    await line(page, 'Heard with the first token').waitFor(patience)
    expect(issued).toBe(1)

    await expect.poll(async () => (await gateway.request('/me', { key: short })).status, { interval: 500 }).toBe(401)
    await write(page, 'Written after its end')
    sandbox.receive({ ...address, message: 'Heard after its end' })

    await line(page, 'Written after its end').getByText('Sent').waitFor(patience)
    await line(page, 'Heard after its end').waitFor(patience)
    expect(issued).toBeGreaterThan(1)
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['Written after its end'])
    await page.locator('#connection').waitFor({ state: 'hidden', ...patience })
    expect(errors).toEqual([])
  })
})

test('The inbox answers an error where the gateway gave no answer that it can read', async () => {
  const { inbox } = await createInbox()
  const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<html>Please log in</html>'))
  onTestFinished(() => void other.close())
  await once(other.listen(0, '127.0.0.1'), 'listening')
  await inbox.connect(`http://127.0.0.1:${(other.address() as AddressInfo).port}`) // a listening TCP server has a port

  const list = await fetch(`${inbox.url}/api/conversations`)

  expect(list.status).toBe(502)
  expect(await list.json()).toMatchObject({ code: 'unreadable-answer' })
})

test('The inbox listens again once its key may', async ({ sandbox, start }) => {
  const { inbox, env } = await createInbox()
  const config = readConfig({ ...environment(sandbox, 5_000), ...env })
  const { default: caller = expect.fail() } = config.callers
  const gateway = await start({ env })
  await gateway.reload({ ...config, callers: { default: { ...caller, scopes: ['channels:read'] } } })
  await inbox.connect(gateway.url)
  const { body } = await fetch(`${inbox.url}/api/events`)
  const said: string[] = []
  const write = (bytes: Uint8Array) => void said.push(Buffer.from(bytes).toString())
  body?.pipeTo(new WritableStream({ write })).catch(() => {}) // the inbox ends it
  await expect.poll(() => said.join(''), patience).toContain('insufficient-scope')

  await gateway.reload(config)

  await expect.poll(() => said.join(''), patience).toContain('"live"')
})
