import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser } from 'playwright-core'
import { describe, expect, onTestFinished } from 'vitest'
import { test as base, missing } from '../examples/inbox.ts'
import type { TestGateway } from '../gateway.ts'
import { issue } from '../tokens/issuing.ts'
import { fetched, postForm, samples } from './forms.ts'

const script = '<script>document.title = "it ran"; alert(1)</script>'

/** A page of another origin that the gateway knows, and a token for its conversation. */
const test = base.extend<{ site: { gateway: TestGateway; origin: string; token: string } }>({
  site: async ({ start }, use) => {
    const server: Server = createServer((_, reply) => reply.setHeader('content-type', 'text/html').end('<title>A page</title>'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const gateway = await start({ env: { CORS_ORIGINS: origin } })
    await use({ gateway, origin, token: await issue(gateway, { scopes: ['files:send', 'media:write'], actor: 'alice' }) })
    server.closeAllConnections()
    server.close()
  },
})

async function open(browser: Browser, url: string) {
  const page = await browser.newPage()
  onTestFinished(() => page.close())
  await page.goto(url)
  return page
}

describe.skipIf(missing)('A page of another origin (needs Chromium)', () => {
  test('uploads and sends files of its FormData, and shows them', async ({ browser, site: { gateway, origin, token }, sandbox }) => {
    const page = await open(browser, origin)
    const replies = await page.evaluate(
      async ([url, token, png]) => {
        const bytes = Uint8Array.from(atob(`${png}`), letter => letter.charCodeAt(0))
        const post = async (path: string, more: Record<string, string> = {}) => {
          const body = new FormData()
          if (path !== '/media') body.append('message', 'Nuestro menú 👍')
          body.append('file', new File([bytes], 'menú "del" día.png', { type: 'text/html' }))
          const headers = { authorization: `Bearer ${token}`, ...more }
          const reply = await fetch(url + path, { method: 'POST', body, headers })
          return { status: reply.status, location: reply.headers.get('location'), json: (await reply.json()) as Record<string, string> }
        }
        const files = '/chats/whatsapp/100/34600000000/files'
        const stored = await post('/media')
        const sent = await post(files, { 'idempotency-key': 'k' })
        const next = await post('/chats/whatsapp/100/34600000001/files')
        return { stored, sent, next }
      },
      [gateway.url, token, samples.png.toString('base64')],
    )

    expect(replies.stored).toMatchObject({ status: 201, location: `/media/${replies.stored.json.id}`, json: { contentType: 'image/png' } })
    expect(replies.stored.json.name).toBe('menú del día.png')
    expect(replies.sent).toMatchObject({ status: 201, json: { kind: 'file', state: 'accepted' } })
    expect(replies.next).toMatchObject({ status: 403, json: { code: 'chat-not-allowed' } })
    const image = `(async image => { image.src = '${replies.stored.json.url}'; await image.decode(); return image.width })(new Image())`
    expect(await page.evaluate(image)).toBe(1)
    expect(gateway.log.filter(({ method }) => method === 'OPTIONS').map(({ status }) => status)).toContain(204) // its preflight
    expect(sandbox.sent).toMatchObject([{ type: 'image', message: 'Nuestro menú 👍' }])
    expect((await fetched(String(sandbox.sent[0]?.fileurl))).bytes).toEqual(samples.png)
  })

  test('gets nothing if its origin is not listed', async ({ browser, start, site: { origin, token } }) => {
    const other = await start()
    const page = await open(browser, origin)
    const said = await page.evaluate(
      async ([url, token]) => {
        const body = new FormData()
        body.append('file', new Blob(['x']))
        const reply = fetch(`${url}/media`, { method: 'POST', body, headers: { authorization: `Bearer ${token}` } })
        return reply.then(String, error => error.name)
      },
      [other.url, token],
    )

    expect(said).toBe('TypeError')
  })

  test.for([
    ['a page', Buffer.from(`<!doctype html>${script}`)],
    ['an SVG', Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg">${script}</svg>`)],
    ['an XHTML page', Buffer.from(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">${script}</html>`)],
    ['a PDF that is a page', Buffer.from(`%PDF-1.7\n<html>${script}`)],
  ] as const)('cannot have the browser open %s: it is saved', async ([, bytes], { browser, site: { gateway, origin } }) => {
    const { url } = (await postForm(gateway, '/media', [['file', bytes, 'index.html']])).json
    const page = await open(browser, origin)
    const saved = page.waitForEvent('download')
    const opening = page.goto(url).then(String, ({ message }: Error) => message)

    expect((await saved).url()).toBe(url)
    expect(await opening).toContain('Download is starting')
    expect([await page.title(), page.url()]).toEqual(['A page', `${origin}/`])
  })

  test('plays a recording that it links to', async ({ browser, site: { gateway, origin } }) => {
    const { url } = (await postForm(gateway, '/media', [['file', samples.wav]])).json
    const page = await open(browser, origin)
    await page.goto(url)

    await expect.poll(() => page.evaluate('document.querySelector("video").duration')).toBe(0.001)
  })

  test('cannot load a GIF as a script, nor run what is in it', async ({ browser, site: { gateway, origin } }) => {
    const gif = Buffer.from('GIF89a/*\x01\x00*/=1;document.title="it ran"//', 'latin1')
    const { url } = (await postForm(gateway, '/media', [['file', gif]])).json
    const page = await open(browser, origin)
    const end = await page.evaluate(`new Promise(resolve => {
      const onload = () => resolve('load')
      const onerror = () => resolve('error')
      document.head.append(Object.assign(document.createElement('script'), { src: '${url}', onload, onerror }))
    })`)

    expect([end, await page.title()]).toEqual(['error', 'A page'])
  })
})
