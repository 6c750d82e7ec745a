import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Pool } from 'undici'
import { describe, expect, onTestFinished } from 'vitest'
import { calls, chat } from './afilnet/calls.ts'
import { listen } from './afilnet/listeners.ts'
import { canaries, test } from './gateway.ts'
import { startProgram } from './program.ts'

const head = (line: string, length?: number) =>
  `${line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${canaries.key}\r\n${length === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${length}\r\n`}\r\n`

function caller(url: string, bytes: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).on('error', () => {}) // closed under its hands is what some expect
  onTestFinished(() => void socket.destroy())
  socket.write(bytes)
  return socket
}

describe('SIGTERM', () => {
  test('loses no accepted request, whatever else is connected', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '8000', DRAIN_MS: '14000' })
    const pool = new Pool(gateway.url, { connections: 32 })
    onTestFinished(() => pool.destroy())
    sandbox.latencyMs = 100
    const answered = new Map<string, number>()
    let stopped = false
    const worker = async (name: number) => {
      for (let i = 0; !stopped; i++) {
        const destination = `w${name}-${i}`
        const reply = await pool
          .request({
            path: `/chats/whatsapp/100/${destination}/messages`,
            method: 'POST',
            headers: { authorization: `Bearer ${canaries.key}`, 'content-type': 'application/json', 'idempotency-key': destination },
            body: '{"message":"Hello"}',
          })
          .then(
            async ({ statusCode, body }) => body.dump().then(() => statusCode),
            () => 0,
          )
        answered.set(destination, reply)
        if (reply !== 201) return
      }
    }
    const half = caller(gateway.url, `${head(`POST ${chat}/messages`, 100)}{"message"`).resume() // so that it sees its end
    caller(gateway.url, head(`GET ${chat}/messages`)).pause()
    caller(gateway.url, 'GET /chan')
    const load = Array.from({ length: 32 }, (_, name) => worker(name))
    await sandbox.called(100)
    gateway.kill('SIGTERM')
    const [code] = await gateway.exited
    stopped = true
    await Promise.all(load)

    expect(code).toBe(0)
    await expect.poll(() => half.destroyed || half.readyState !== 'open').toBe(true)
    const accepted = [...answered].filter(([, status]) => status === 201).map(([destination]) => destination)
    expect(sandbox.sent.map(({ destination }) => destination).toSorted()).toEqual(accepted.toSorted())
    const next = await startProgram(sandbox, { STORE_URL: `sqlite:${join(gateway.folder, 'ledger.sqlite')}` })
    for (const state of ['pending', 'unknown']) expect((await next.get(`/sends?state=${state}`)).json.items).toEqual([])
    for (const destination of accepted.slice(-40)) {
      const { json } = await next.get(`/sends?idempotencyKey=${destination}`)
      expect(json.items).toMatchObject([{ destination, state: 'accepted' }])
    }
  })

  test('says so to who asks, serves on for a while, and then refuses', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '20000', DRAIN_MS: '60000', DRAIN_DELAY_MS: '3000' })
    sandbox.answer({ method: 'sendmessage', delayMs: 8_000 }) // long after it began to refuse, also on a busy machine
    const running = gateway.post(`${chat}/messages`, { message: 'Hello' })
    await sandbox.called(1)

    gateway.kill('SIGTERM')
    await gateway.logged('draining')

    const ready = await gateway.get('/health/ready')
    expect(ready).toMatchObject({ status: 503, json: { status: 'draining' } })
    const served = await gateway.get('/channels')
    expect(served.status).toBe(200)
    expect(served.headers.get('connection')).toBe('close')
    const refused = async () => {
      const { status, json, headers } = await gateway.get('/channels')
      return { status, code: json.code, again: Number(headers.get('retry-after')) > 0 }
    }
    await expect.poll(refused).toEqual({ status: 503, code: 'draining', again: true })
    gateway.kill('SIGINT') // as npm passes on what the terminal has sent already
    expect(await running).toMatchObject({ status: 201 })
    expect(await gateway.exited).toEqual([0, null])
    expect(gateway.log.filter(({ msg }) => msg === 'draining')).toHaveLength(1)
  })

  test('does not wait for a late answer', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '300' })
    sandbox.answer({ fault: 'silent' })
    const { json } = await gateway.post(`${chat}/messages`, { message: 'Hello' })
    expect(json).toMatchObject({ code: 'upstream-timeout' })

    gateway.kill('SIGTERM')

    expect(await gateway.exited).toEqual([0, null])
    const next = await startProgram(sandbox, { STORE_URL: `sqlite:${join(gateway.folder, 'ledger.sqlite')}` })
    expect(await next.get(`/sends/${json.sendId}`)).toMatchObject({ status: 200, json: { state: 'unknown' } })
  })
})

describe('callers in great number', () => {
  const sockets = 5_000
  // Both ends are in this process.
  const report = process.report.getReport() as unknown as { userLimits: { open_files: { soft: number | 'unlimited' } } } // as Node documents it
  const { soft } = report.userLimits.open_files
  const tooFew = soft !== 'unlimited' && soft < 2 * sockets + 500

  test.skipIf(tooFew)(
    `that connect and stay idle, ${sockets} of them, are closed in time while others are served`,
    async ({ start }) => {
      const gateway = await start({ timeouts: { headersMs: 8_000, checkEveryMs: 200 } })
      let open = 0
      let closed = 0
      // In batches that fit the backlog, beyond which the kernel makes them try again after seconds.
      for (let batch = 0; batch < sockets / 250; batch++) {
        const connecting = Array.from({ length: 250 }, () => {
          const socket = gateway.open().on('connect', () => open++)
          socket.on('close', () => closed++).resume()
          return once(socket, 'connect')
        })
        await Promise.all(connecting)
      }
      expect(open).toBe(sockets)

      expect(await calls.getchatchannels(gateway)).toMatchObject({ status: 200 })
      expect(await calls.sendmessage(gateway)).toMatchObject({ status: 201 })
      await expect.poll(() => closed).toBe(sockets)
      expect(await calls.getchatchannels(gateway)).toMatchObject({ status: 200 })
    },
    60_000,
  )

  test('that never read a large answer take no more than their share of memory, and others are served', async ({ sandbox }) => {
    const row = { platform: 'whatsapp', platformid: '100', destination: 'x', message: 'x'.repeat(60_000), messageid: '1', sent: true }
    const large = Buffer.from(JSON.stringify({ status: 'SUCCESS', result: { list: Array(135).fill(row) } }))
    let answers = 0
    const port = await listen(
      createHttp((request, response) => {
        let asked = ''
        request.on('data', chunk => {
          asked += chunk
        })
        request.on('end', () => {
          answers++
          response.end(asked.includes('method=getmessages') ? large : '{"status":"SUCCESS","result":{"list":[]}}')
        })
      }),
    )
    const gateway = await startProgram(sandbox, { AFILNET_URL: `http://127.0.0.1:${port}/api/http/` })
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) / 1024
    await gateway.get('/channels')
    const before = rss()

    for (let i = 0; i < 50; i++) caller(gateway.url, head(`GET /chats/whatsapp/100/${i}/messages`)).pause()
    await expect.poll(() => answers).toBeGreaterThanOrEqual(51) // a slow read may be asked again
    let most = 0
    for (let i = 0; i < 20; i++) {
      expect(await gateway.get('/channels')).toMatchObject({ status: 200 })
      most = Math.max(most, rss() - before)
    }

    process.stdout.write(`50 answers of ${(large.length / 1_048_576).toFixed(1)} MiB without a reader: ${most.toFixed()} MB more\n`)
    expect(most).toBeLessThan(600)
  })
})
