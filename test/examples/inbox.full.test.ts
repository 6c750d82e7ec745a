import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished } from 'vitest'
import { canaries } from '../gateway.ts'
import { address, barriers, line, missing, open, openChat, patience, test, visit, write } from './inbox.ts'

describe.skipIf(missing)('The inbox (needs Chromium)', () => {
  test('carries a conversation between two pages and a customer, each message once', async ({ browser, inbox, sandbox }) => {
    const [one, two] = await Promise.all([visit(browser, inbox.url), visit(browser, inbox.url)])
    await Promise.all([openChat(one.page), openChat(two.page)])

    await write(one.page, 'We open at nine')
    await line(two.page, 'We open at nine').waitFor(patience)
    sandbox.receive({ ...address, message: 'See you at nine' })
    await Promise.all([one, two].map(({ page }) => line(page, 'See you at nine').waitFor(patience)))

    for (const { page, errors } of [one, two]) {
      expect(await line(page, 'We open at nine').count()).toBe(1)
      expect(await line(page, 'See you at nine').count()).toBe(1)
      await expect.poll(() => page.locator('.conversation').first().innerText(), patience).toContain('See you at nine')
      expect(errors).toEqual([])
    }
    await expect.poll(() => line(one.page, 'We open at nine').innerText(), patience).toContain('Sent')
    await expect.poll(() => two.page.locator('#announcer').innerText(), patience).toContain('See you at nine')
    expect(sandbox.sent.filter(({ message }) => message === 'We open at nine')).toHaveLength(1)
  })

  test('says what is not known, and asks again without sending again', async ({ browser, inbox, sandbox }) => {
    sandbox.receive({ ...address, destination: 'drops', message: 'I am far away' })
    const { page } = await visit(browser, `${inbox.url}/#whatsapp/100/drops`)

    await write(page, 'Can you hear me?')
    await page.getByRole('button', { name: 'Check again' }).press('Enter', patience)
    await page.getByRole('button', { name: 'Check again' }).waitFor(patience)

    expect(await line(page, 'Can you hear me?').innerText()).toContain('Perhaps sent')
    expect(await page.evaluate('document.activeElement.id')).toBe('messages') // the button that was pressed has gone
    expect(sandbox.sent).toHaveLength(1)
  })

  test('shows why a message was refused', async ({ browser, inbox }) => {
    const { page } = await visit(browser, `${inbox.url}/#whatsapp/100/NO_ROUTE_AVAILABLE`)

    await write(page, 'Hello')

    await line(page, 'Not sent: refused').waitFor(patience)
    expect(await line(page, 'Hello').innerText()).toContain('refused (Afilnet has no route to this destination. Nothing was sent.)')
    expect(await page.locator('#announcer').textContent()).toContain('Not sent: refused')
  })

  test('keeps for each conversation what was begun in it, and what became of its sends', async ({ browser, inbox, sandbox }) => {
    const { page } = await visit(browser, `${inbox.url}/#whatsapp/100/NO_ROUTE_AVAILABLE`)
    const go = (destination: string) => page.evaluate(`location.hash = 'whatsapp/100/${destination}'`)
    await write(page, 'Refused')
    await line(page, 'Not sent: refused').waitFor(patience)
    await page.locator('#text').fill('Begun for one person')

    await go(address.destination)
    await page.locator('.line').first().waitFor(patience)
    expect(await page.locator('#text').inputValue()).toBe('')
    await page.keyboard.press('Enter')
    await write(page, 'For another person')
    await line(page, 'For another person').getByText('Sent').waitFor(patience)
    await go('NO_ROUTE_AVAILABLE')

    await line(page, 'Not sent: refused').waitFor(patience)
    expect(await page.locator('#text').inputValue()).toBe('Begun for one person')
    expect(sandbox.sent.map(({ message }) => message)).toEqual(['For another person'])
  })

  test('shows each message once where Afilnet lists no ids', async ({ browser, sandbox, start }) => {
    sandbox.shape({ omit: ['messageid'] })
    const { inbox } = await open(start, sandbox)
    const { page } = await visit(browser, inbox.url)
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    await page.route(/\/events\?/, async route => {
      await released
      await route.continue()
    })
    await openChat(page)
    release()
    await write(page, 'Sent without an id')
    await line(page, 'Sent without an id').getByText('Sent').waitFor(patience)
    sandbox.receive({ ...address, message: 'Said without an id' })
    await line(page, 'Said without an id').waitFor(patience)
    sandbox.receive({ ...address, message: 'Said after it' })
    await line(page, 'Said after it').waitFor(patience)

    for (const text of ['Sent without an id', 'Said without an id', 'Said after it']) expect(await line(page, text).count(), text).toBe(1)
  })

  test('pastes the text of a spreadsheet, and not the picture that comes with it', async ({ page }) => {
    await openChat(page)
    const paste = (isText: boolean) =>
      page.evaluate(`(() => {
      const clipboardData = new DataTransfer()
      if (${isText}) clipboardData.setData('text/plain', '1 2 3')
      clipboardData.items.add(new File(['cells'], '${isText ? 'cells' : 'notes'}.txt', { type: 'text/plain' }))
      document.getElementById('text').dispatchEvent(new ClipboardEvent('paste', { clipboardData }))
    })()`)

    await paste(true)
    await paste(false)

    await line(page, 'notes.txt').waitFor(patience)
    expect(await line(page, 'cells.txt').count()).toBe(0)
  })

  test('writes from right to left what is written so', async ({ browser, inbox, sandbox }) => {
    sandbox.receive({ ...address, message: 'مرحبا، هل أنتم مفتوحون اليوم؟' })
    const { page } = await visit(browser, inbox.url)
    await openChat(page)
    const direction = (selector: string) => page.evaluate(`getComputedStyle(document.querySelector(${JSON.stringify(selector)})).direction`)

    await page.locator('#text').fill('نعم')

    expect(await direction('.line:last-child .bubble p')).toBe('rtl')
    expect(await direction('.conversation .text')).toBe('rtl')
    expect(await direction('#text')).toBe('rtl')
    await page.locator('#text').fill('Yes')
    expect(await direction('#text')).toBe('ltr')
    await write(page, 'نعم')
    await page.locator('.conversation', { hasText: 'You: نعم' }).waitFor(patience)
    expect(await direction('.conversation .text')).toBe('ltr')
    expect(await direction('.conversation .text bdi')).toBe('rtl')
  })

  test('says why a file is not sent, under the name that it has', async ({ page }) => {
    await openChat(page)

    await page.locator('#file').setInputFiles({ name: 'photo\u202Egpj.exe', mimeType: '', buffer: Buffer.alloc(0) })

    await line(page, '📄 photogpj.exe').getByText('Not sent').waitFor(patience)
    expect(await line(page, 'photogpj.exe').innerText()).toContain('/file is empty')
  })

  test('announces a burst of messages in one sentence', async ({ page, sandbox }) => {
    await openChat(page)
    await page.evaluate(`(() => {
      window.said = []
      const announcer = document.getElementById('announcer')
      new MutationObserver(() => said.push(announcer.textContent)).observe(announcer, { childList: true })
    })()`)
    const said = () => page.evaluate('said') as Promise<string[]>

    for (let n = 1; n <= 50; n++) sandbox.receive({ ...address, message: `Burst ${n}. ${'word '.repeat(n * 50)}` })

    await expect.poll(async () => (await said()).join(), patience).toContain('messages, the last one: Burst 50.')
    expect((await said()).length).toBeLessThan(5)
    expect((await said()).join().length).toBeLessThan(2_000)

    await page.evaluate(`new MutationObserver(() => {
      if (document.getElementById('messages').textContent.includes('Bye')) location.hash = ''
    }).observe(document.getElementById('messages'), { childList: true, subtree: true })`)
    sandbox.receive({ ...address, message: 'Bye' }) // closes the conversation before it is said
    await page.locator('#nothing').waitFor(patience)
    await page.evaluate('new Promise(resolve => setTimeout(resolve, 500))') // comes after the timer of the announcement
    expect((await said()).join()).not.toContain('Bye')
  })

  test('shows what is what in forced colors', async ({ browser, inbox, sandbox }) => {
    const { page } = await visit(browser, inbox.url, { forcedColors: 'active' })
    await openChat(page)
    sandbox.receive({ ...address, destination: '34600000001', message: 'Am I seen?' })
    await page.locator('.unread').waitFor(patience)
    const edge = (selector: string) => page.evaluate(`getComputedStyle(document.querySelector('${selector}')).borderLeftWidth`)

    expect(await edge('.bubble')).toBe('1px')
    expect(await edge('.unread')).toBe('1px')
    expect(await edge('.conversation[aria-selected=true]')).toBe('8px')
    expect(await edge('.conversation[aria-selected=false]')).toBe('0px')
  })

  test('follows the size of text that the browser is set to', async ({ context, page }) => {
    await openChat(page)
    const sizes = () =>
      page.evaluate("['.bubble p', '.bubble footer', '#text'].map(it => getComputedStyle(document.querySelector(it)).fontSize)")

    expect(await sizes()).toEqual(['15px', '13.6px', '15px'])
    await (await context.newCDPSession(page)).send('Page.setFontSizes', { fontSizes: { standard: 24 } })

    expect(await sizes()).toEqual(['22.5px', '20.4px', '22.5px'])
    expect(await page.evaluate("document.getElementById('text').offsetHeight")).toBeGreaterThan(55) // a whole line
  })

  test('leaves room for messages in a low window, however long the draft', async ({ browser, inbox }) => {
    const { page } = await visit(browser, inbox.url, { viewport: { width: 320, height: 256 } }) // 1280 by 1024 at 400 %
    await openChat(page)

    await page.locator('#text').fill('line\n'.repeat(9))

    expect(await page.evaluate("document.getElementById('messages').clientHeight")).toBeGreaterThan(75)
    expect(await page.evaluate('[document.documentElement.scrollWidth, document.documentElement.scrollHeight]')).toEqual([320, 256])
  })

  test('sends a photo that is dropped into the conversation', async ({ page, sandbox }) => {
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
    await page.locator('.bubble img[alt="photo.png"]').waitFor(patience)
    const listed = page.locator('.line', { has: page.locator('time:not(:empty)') }) // by Afilnet, as one line with what the page sent
    await listed.locator('img[alt="photo.png"]').waitFor(patience)
    await expect.poll(() => page.locator('.line', { hasText: '/media/' }).count(), patience).toBe(0)
    await expect.poll(() => page.locator('.conversation').first().innerText(), patience).toContain('photo.png')
    await page.reload()
    await page.locator('.bubble img[alt="photo.png"]').waitFor(patience)
    await expect.poll(() => page.evaluate('document.querySelector(".bubble img").naturalWidth'), patience).toBe(1)
  })

  test('keeps what is selected while messages come', async ({ page, sandbox }) => {
    await openChat(page)
    await page.locator('.bubble p').first().selectText()
    const selected = await page.evaluate('getSelection().toString()')

    sandbox.receive({ ...address, message: 'Said meanwhile' })
    await line(page, 'Said meanwhile').waitFor(patience)

    expect(selected).not.toBe('')
    expect(await page.evaluate('getSelection().toString()')).toBe(selected)
  })

  test('opens the row that was pressed, whichever moves up before the click', async ({ page, sandbox }) => {
    await page.addInitScript(`window.heard = []
      window.EventSource = class extends EventSource {
        constructor(url) {
          super(url)
          this.addEventListener('message', ({ data }) => setTimeout(() => heard.push(data))) // after the page has heard it
        }
      }`)
    await page.reload()
    const list = page.locator('.conversation')
    const rowOf = (name: string) => list.filter({ hasText: name })
    await rowOf('34600000001').hover(patience)
    /** A conversation further down moves to the top while the mouse is down. */
    const pressed = async (destination: string, platform: string, platformid: string) => {
      await page.mouse.down()
      sandbox.receive({ platform, platformid, destination, message: 'Me first' })
      await expect.poll(() => page.evaluate('heard.join()'), patience).toContain(destination)
    }

    await pressed('700100200', 'telegram', '200')
    await page.mouse.up()
    await expect.poll(() => page.evaluate('location.hash'), patience).toBe('#whatsapp/100/34600000001')
    await expect.poll(() => list.first().innerText(), patience).toContain('700100200')

    await rowOf('34600000000').hover()
    await pressed('ana', 'operator', '300')
    await page.locator('#text').hover() // the person thinks better of it
    await page.mouse.up()
    await expect.poll(() => rowOf('Operators').innerText(), patience).toContain('Me first')
    expect(await page.evaluate('location.hash')).toBe('#whatsapp/100/34600000001')
  })

  test('works with the keyboard alone', async ({ page, sandbox }) => {
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
    await expect.poll(() => sandbox.sent.length, patience).toBe(1)
    await page.locator('#search').fill('Nobody')
    await keyboard.press('Escape')
    expect(await page.locator('#search').inputValue()).toBe('')
    expect(await page.locator('.conversation').count()).toBeGreaterThan(1)
    await page.locator('#text').fill('にほん')
    for (const key of ['Enter', 'Escape']) // they end the composition of a word; the second way is Safari's
      for (const composing of [{ isComposing: true }, { keyCode: 229 }])
        await page.dispatchEvent('#text', 'keydown', { key, ...composing, bubbles: true, cancelable: true })
    expect(await page.locator('#text').inputValue()).toBe('にほん')
    expect(await page.evaluate('location.hash')).not.toBe('')
    await keyboard.press('Escape')

    await page.locator('#thread').waitFor({ state: 'hidden', ...patience })
    expect(await page.evaluate('document.activeElement.id')).toBe('conversations')
  })

  test('neither shows nor keeps the key or the password', async ({ context, inbox, page }) => {
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

  test.for([1280, 390].flatMap(width => (['light', 'dark'] as const).map(scheme => [width, scheme] as const)))(
    'at %i pixels in %s: axe-core finds nothing serious, and it fits',
    async ([width, colorScheme], { browser, inbox }) => {
      const { page } = await visit(browser, inbox.url, { viewport: { width, height: 800 }, colorScheme, bypassCSP: true })

      expect(await barriers(page)).toEqual([])
      await openChat(page)
      await write(page, 'Hello')
      await line(page, 'Sent').last().waitFor(patience)
      expect(await barriers(page)).toEqual([])
      await page.evaluate(`location.hash = 'whatsapp/100/${'long'.repeat(30)}'`)
      await page.locator('#who', { hasText: 'longlong' }).waitFor(patience)
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
    },
  )

  test('refuses other sites and other names', async ({ inbox }) => {
    const crossSite = await fetch(`${inbox.url}/api/conversations`, { headers: { 'sec-fetch-site': 'cross-site' } })
    const own = await fetch(`${inbox.url}/api/conversations`)
    const outside = await fetch(`${inbox.url}/page/..%2f..%2f..%2fpackage.json`)

    expect([crossSite.status, own.status, outside.status]).toEqual([403, 200, 404])
    const otherName = connect(Number(new URL(inbox.url).port), '127.0.0.1').end(
      'GET / HTTP/1.1\r\nHost: inbox.example.com\r\nConnection: close\r\n\r\n',
    )
    expect(await text(otherName)).toMatch(new RegExp(`^HTTP/1.1 403.*This server answers as ${inbox.url} only`, 's'))
  })

  test('opens from a link of another site', async ({ browser, inbox }) => {
    const page = await browser.newPage()
    onTestFinished(() => page.close())
    const asked = page.waitForRequest(`${inbox.url}/`)

    await page.setContent(`<a href="${inbox.url}/">The inbox</a>`)
    await page.getByText('The inbox').click()

    expect(await (await asked).allHeaders()).toMatchObject({ 'sec-fetch-site': 'cross-site' })
    await page.locator('.conversation').first().waitFor(patience)
  })
})
