import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { describe, expect, onTestFinished } from 'vitest'
import { maxOpenFiles } from '../../src/lib/open-files.ts'
import { canaries, test } from '../gateway.ts'
import { startProgram } from '../program.ts'

type Arrival = { id: string; status: number; code: string | undefined; retryAfter: number; tookMs: number }
const quantile = (values: number[], of: number) => values.toSorted((a, b) => a - b)[Math.floor(values.length * of)] ?? Number.NaN

describe('ten times the capacity', () => {
  const budgetMs = 2_000
  const latencyMs = 100
  const perSecond = 10 * 4 * (1000 / latencyMs)

  test.for([
    ['reads', 'GET'],
    ['sends', 'POST'],
  ] as const)('of %s is served as far as it goes, and refused at once beyond', async ([, method], { sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_CONNECTIONS: '4', AFILNET_TIMEOUT_MS: `${budgetMs}` })
    sandbox.latencyMs = latencyMs
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) / 1024
    const arrive = async (id: string): Promise<Arrival> => {
      const startedAt = performance.now()
      const path = `/chats/whatsapp/100/${id}/messages`
      const { status, headers, json } = await (method === 'GET' ? gateway.get(path) : gateway.post(path, { message: 'Hello' }))
      return { id, status, code: json.code, retryAfter: Number(headers.get('retry-after')), tookMs: performance.now() - startedAt }
    }
    /** Arrivals at their own pace, whatever becomes of those before. */
    const burst = async (name: string, forMs: number) => {
      const arrivals: Promise<Arrival>[] = []
      const startedAt = performance.now()
      await new Promise<void>(resolve => {
        const timer = setInterval(() => {
          const elapsed = performance.now() - startedAt
          while (arrivals.length < (Math.min(elapsed, forMs) * perSecond) / 1000) arrivals.push(arrive(`${name}-${arrivals.length}`))
          if (elapsed < forMs) return
          clearInterval(timer)
          resolve()
        }, 5)
      })
      return Promise.all(arrivals)
    }

    await burst('warm', 1_000)
    const before = rss()
    const replies = await burst('full', 3_000)
    const afterwards = await arrive('after')

    const accepted = replies.filter(({ status }) => status === 201 || status === 404) // these chats are unknown
    const refused = replies.filter(({ status }) => status === 503)
    const acceptedMs = accepted.map(({ tookMs }) => tookMs)
    const refusedMs = refused.map(({ tookMs }) => tookMs)
    const grownMb = rss() - before
    const figures = {
      accepted: accepted.length,
      acceptedP99Ms: quantile(acceptedMs, 0.99),
      refused: refused.length,
      refusedP50Ms: quantile(refusedMs, 0.5),
      refusedP99Ms: quantile(refusedMs, 0.99),
      grownMb,
    }
    process.stdout.write(
      `${replies.length} ${method}: ${JSON.stringify(figures, (_, value) => (typeof value === 'number' ? Math.round(value) : value))}\n`,
    )

    const late = replies.filter(({ status }) => status === 504) // where the machine is busy
    expect(accepted.length + refused.length + late.length).toBe(replies.length)
    expect(accepted.length).toBeGreaterThan(0) // how many of the 120 that fit depends on the machine, and is in the figures above
    expect(refused.length).toBeGreaterThan(accepted.length)
    // One second, and up to four where the machine is busy: five places in the queue, three slots, calls of two seconds
    for (const { code, retryAfter } of refused) expect([code, [1, 2, 3, 4].includes(retryAfter)]).toEqual(['overloaded', true])
    const called = (id: string) => sandbox.calls.filter(({ params }) => params.some(([, value]) => value === id)).length
    expect(new Set(accepted.map(({ id }) => called(id)))).toEqual(new Set([1]))
    expect(new Set(refused.map(({ id }) => called(id)))).toEqual(new Set([0]))
    expect(grownMb).toBeLessThan(100)
    expect([201, 404]).toContain(afterwards.status)
  })
})

describe('a thousand callers that come at once', () => {
  test.skipIf(maxOpenFiles() < 4_096)(
    'are all answered before any is answered for the two hundred and fiftieth time',
    async ({ sandbox }) => {
      const gateway = await startProgram(sandbox)
      const request = `GET /me HTTP/1.1\r\nHost: ${new URL(gateway.url).host}\r\nAuthorization: Bearer ${canaries.key}\r\n\r\n`
      const sockets = callers(gateway.url)
      const answers = await new Promise<number[]>(resolve => {
        let waiting = 0
        const counts = sockets.map((caller, n) => {
          caller.once('connect', () => caller.write(request))
          caller.on('data', data => {
            if (!data.includes('HTTP/1.1 200')) return
            counts[n] = (counts[n] ?? 0) + 1
            if (counts[n] === 1 && --waiting === 0) resolve(counts)
            caller.write(request)
          })
          waiting++
          return 0
        })
      })

      expect(Math.max(...answers)).toBeLessThan(250)
      for (const socket of sockets) socket.destroy()
      gateway.kill('SIGTERM') // a kill would cut its last log line
      await gateway.exited
    },
  )

  function callers(url: string) {
    const { hostname, port } = new URL(url)
    const sockets = Array.from({ length: 1_000 }, () => connect(Number(port), hostname))
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
    })
    return sockets
  }
})
