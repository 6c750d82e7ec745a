import type { Page } from 'playwright-core'
import { describe, expect } from 'vitest'
import { address, line, missing, open, openChat, patience, test, visit } from './inbox.ts'

const sizeOf = (page: Page, selector: string) => page.locator(selector).first().getAttribute('aria-setsize').then(Number)

describe.skipIf(missing)('The inbox, when there is much (needs Chromium)', () => {
  test('pages through 10,000 messages with only what is visible in the document', async ({ browser, inbox, sandbox }) => {
    for (let n = 1; n <= 10_000; n++) sandbox.receive({ ...address, message: `Message ${n}.` })
    const { page, errors } = await visit(browser, inbox.url)
    await openChat(page)
    await line(page, 'Message 10000.').waitFor(patience)
    let most = 0

    for (let known = 0; known < 10_000; known = await sizeOf(page, '.line')) {
      await page.evaluate('document.getElementById("messages").scrollTop = 0')
      most = Math.max(most, await page.locator('.line').count())
      await expect.poll(() => sizeOf(page, '.line'), { interval: 20 }).toBeGreaterThan(known)
    }
    // The last page may be drawn after this, and the list then stays where it was read.
    await expect
      .poll(
        async () => {
          await page.evaluate('document.getElementById("messages").scrollTop = 0')
          return line(page, 'Message 1.').isVisible()
        },
        { interval: 100 },
      )
      .toBe(true)

    expect(await sizeOf(page, '.line')).toBeGreaterThanOrEqual(10_000)
    expect(most).toBeLessThan(60)
    await page.evaluate('document.getElementById("messages").scrollTop = 1e9')
    await line(page, 'Message 10000.').waitFor(patience)
    expect(await page.locator('.line').count()).toBeLessThan(60)
    expect(errors).toEqual([])
  })

  test('reads a page again that could not be read', async ({ browser, inbox, sandbox }) => {
    for (let n = 1; n <= 120; n++) sandbox.receive({ ...address, message: `Message ${n}.` })
    const { page } = await visit(browser, inbox.url)
    await openChat(page)
    await line(page, 'Message 120.').waitFor(patience)
    const cut: string[] = []
    await page.route(
      /[?&]before=/,
      route => {
        cut.push(route.request().method())
        return route.abort()
      },
      { times: 2 },
    ) // the preflight, or the read itself

    await page.evaluate('document.getElementById("messages").scrollTop = 0')

    await expect.poll(() => sizeOf(page, '.line')).toBeGreaterThanOrEqual(120)
    expect(cut.length).toBeGreaterThan(0)
  })

  test('keeps its place when a line above goes, and while a text grows', async ({ browser, inbox, sandbox }) => {
    for (let n = 1; n <= 45; n++) sandbox.receive({ ...address, message: `Message ${n}. ${'word '.repeat((n % 7) * 60)}` })
    const { page } = await visit(browser, inbox.url)
    await openChat(page)
    await line(page, 'Message 45.').waitFor(patience)
    const twoFrames = 'await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))'
    const place = () =>
      page.evaluate(`(async () => {
        ${twoFrames}
        const { top } = document.getElementById('messages').getBoundingClientRect()
        const first = [...document.querySelectorAll('.line')].find(line => line.getBoundingClientRect().bottom > top)
        return [first.textContent, Math.round(first.getBoundingClientRect().top - top)]
      })()`)
    const endIsShown = `(({ scrollTop, clientHeight, scrollHeight }) => scrollTop + clientHeight > scrollHeight - 2)(document.getElementById('messages'))`

    await page.evaluate(`(() => {
      document.getElementById('messages').scrollTop -= 5 // as a list that follows its end does, in the frame in which the line appears
      Object.assign(document.getElementById('connection'), { hidden: false, textContent: 'A line above' })
    })()`)
    await place()
    expect(await page.evaluate(endIsShown)).toBe(true)

    await page.locator('#text').focus()
    for (const key of ['a', 'Shift+Enter', 'b', 'Shift+Enter', 'c', 'd']) await page.keyboard.press(key)
    await place()
    expect(await page.evaluate(endIsShown)).toBe(true)

    await page.evaluate("document.getElementById('messages').scrollTop = 2_000")
    const before = await place()
    await page.evaluate("document.getElementById('connection').hidden = true")
    expect(await place()).toEqual(before)
  })

  test('lists 1,000 conversations, and finds one of them', async ({ browser, sandbox, start }) => {
    sandbox.fill({ platform: 'whatsapp', platformid: '100', conversations: 1_000 })
    sandbox.receive({ ...address, destination: '34699999999', message: 'The needle' })
    const { inbox } = await open(start, sandbox)
    const { page, errors } = await visit(browser, inbox.url)

    expect(await sizeOf(page, '.conversation')).toBeGreaterThan(1_000)
    expect(await page.locator('.conversation').count()).toBeLessThan(40)
    await page.locator('#conversations').focus()
    await page.keyboard.press('End')
    const size = await sizeOf(page, '.conversation')
    expect(Number(await page.locator('.conversation.active').getAttribute('aria-posinset'))).toBe(size)
    expect(await page.locator('.conversation').count()).toBeLessThan(40)
    await page.locator('#search').fill('needle')
    expect(await page.locator('.conversation').count()).toBe(1)
    await openChat(page, '34699999999')
    await line(page, 'The needle').waitFor(patience)
    expect(errors).toEqual([])
  })
})
