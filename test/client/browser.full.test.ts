import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { rolldown } from 'rolldown'
import { describe, expect, onTestFinished } from 'vitest'
import { missing, test, untilWatched } from '../examples/inbox.ts'
import { issue } from '../tokens/issuing.ts'

const scopes = ['messages:read', 'messages:send', 'files:send', 'events:read']
const setUp = (options: { baseUrl: string; key: string }) => `import('/client.js').then(({ createClient, GatewayProblem }) => {
  const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
  globalThis.lab = { chat, GatewayProblem, cut: createClient({ baseUrl: location.origin + '/cut', key: 'any' }), gateway: createClient(${JSON.stringify(options)}) }
})`

/** A site of another origin than the gateway, with the client as a module; answers below `/cut` break off. */
async function openSite() {
  const bundle = await rolldown({ input: fileURLToPath(new URL('../../client/src/client.ts', import.meta.url)), platform: 'browser' })
  const { output } = await bundle.generate()
  const server = createServer(({ url = '' }, response) => {
    if (url.startsWith('/cut/')) {
      const half = response.writeHead(201, { 'content-type': 'application/json', 'content-length': 500 })
      return void half.write('{"id":', () => response.destroy())
    }
    const [type, body] =
      url === '/client.js' ? ['text/javascript', output[0].code] : ['text/html', '<!doctype html><link rel="icon" href="data:,">']
    response.setHeader('content-type', type).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}` // a listening TCP server has a port
}

/** A way to the gateway that can be cut: what is open breaks off. */
async function openWay(url: string) {
  const open = new Set<Socket>()
  const server = createTcpServer(near => {
    const far = connect(Number(new URL(url).port), '127.0.0.1')
    for (const socket of [near, far]) open.add(socket.on('error', () => {}).on('close', () => [near, far].map(end => end.destroy())))
    near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  onTestFinished(() => {
    cut()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, cut }
}

const run = (page: Page, code: string) => page.evaluate(`(async () => { const { chat, gateway, GatewayProblem } = lab; ${code} })()`)

describe('The client in a page of another origin', () => {
  test.skipIf(missing)(
    'sends a text and a file, listens across a lost connection, and gets problems (needs Chromium)',
    async ({ browser, start, sandbox }) => {
      const site = await openSite()
      const gateway = await start({ env: { EVENTS_CHANNELS: '*', EVENTS_INTERVAL_MS: '1000', CORS_ORIGINS: site } })
      const way = await openWay(gateway.url)
      await untilWatched(sandbox)
      const context = await browser.newContext()
      onTestFinished(() => context.close())
      const page = await context.newPage()
      await page.goto(site)
      const token = await issue(gateway, { scopes })
      await page.evaluate(setUp({ baseUrl: way.url, key: token }))

      const text = await run(page, "return gateway.send(chat, { message: 'From a page' })")
      const file = await run(page, "return gateway.send(chat, { file: new File(['Our menu'], 'menu.txt'), type: 'document' })")
      const problem = await run(
        page,
        `const error = await gateway.send({ ...chat, destination: '34600000001' }, { message: 'Hello' }).catch(error => error)
      return [error instanceof GatewayProblem, error.code, error.outcome, error.retry, error.body.requestId.length > 7]`,
      )
      const cut = await run(
        page,
        `const error = await lab.cut.send(chat, { message: 'Hello' }, { attempts: 1 }).catch(error => error)
      return [error instanceof GatewayProblem, error.code, error.status, error.outcome, error.retry]`,
      )
      await run(
        page,
        `lab.heard = []; lab.states = []; lab.end = new AbortController()
      lab.listening = (async () => {
        const onConnection = problem => lab.states.push(problem ? problem.code : 'live')
        for await (const event of gateway.events({ ...chat, type: 'message.created', signal: lab.end.signal, onConnection })) if (event.direction === 'in') lab.heard.push(event.message.message)
      })()`,
      )
      await expect.poll(() => run(page, 'return lab.states')).toEqual(['live'])
      const receive = (message: string) => sandbox.receive({ platform: 'whatsapp', platformid: '100', destination: '34600000000', message })
      receive('one')
      await expect.poll(() => run(page, 'return lab.heard')).toEqual(['one'])
      way.cut()
      await expect.poll(() => run(page, 'return lab.states.length')).toBeGreaterThan(1)
      receive('two')
      await expect.poll(() => run(page, 'return lab.heard')).toEqual(['one', 'two'])
      await run(page, 'lab.end.abort(); return lab.listening') // it ends without an error

      expect(text).toMatchObject({ kind: 'message', state: 'accepted', idempotencyKey: expect.stringMatching(/^[0-9a-f]{32}$/) })
      expect(file).toMatchObject({ kind: 'file', state: 'accepted' })
      expect(problem).toEqual([true, 'chat-not-allowed', 'not_applied', 'no', true])
      expect(cut).toEqual([true, 'unreadable-answer', 201, 'unknown', 'same-key'])
      expect(sandbox.sent.map(({ method }) => method)).toEqual(['sendmessage', 'sendfile'])
    },
  )
})
