import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { chat } from '../afilnet/calls.ts'
import { type TestGateway, test } from '../gateway.ts'
import { startProgram } from '../program.ts'

type Arrival = { status: number; code: string | undefined; retryAfter: number; tookMs: number }
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
      return { status, code: json.code, retryAfter: Number(headers.get('retry-after')), tookMs: performance.now() - startedAt }
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
    const healthyFrom = performance.now()
    const afterwards = await arrive('after')
    const healthyMs = performance.now() - healthyFrom

    const accepted = replies.filter(({ status }) => status === 201 || status === 404) // nobody knows these chats
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

    expect(accepted.length + refused.length).toBe(replies.length)
    expect(accepted.length).toBeGreaterThan(30) // of 120 that fit
    expect(Math.max(...acceptedMs)).toBeLessThan(budgetMs + 500)
    for (const { code, retryAfter } of refused) expect([code, retryAfter]).toEqual(['overloaded', 1])
    expect(figures.refusedP50Ms).toBeLessThan(1_000) // a busy machine is no failure: the figures above are to be read
    expect(figures.refusedP99Ms).toBeLessThan(budgetMs)
    expect(grownMb).toBeLessThan(100)
    expect([201, 404]).toContain(afterwards.status)
    expect(healthyMs).toBeLessThan(5_000)
  })
})

describe('a call that has to wait', () => {
  const reads = (gateway: TestGateway, from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => gateway.get(`/chats/whatsapp/100/${from + i}/messages`))

  test('is admitted while nobody knows how long calls last', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2' } })
    sandbox.latencyMs = 100

    const replies = await Promise.all(reads(gateway, 0, 4))

    expect(replies.map(({ status }) => status)).toEqual([404, 404, 404, 404]) // nobody knows these chats
  })

  test('is refused at once if it could not end in time', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '1', AFILNET_TIMEOUT_MS: '6000' } })
    sandbox.latencyMs = 3_500
    await gateway.get(`${chat}/messages`)
    const running = gateway.get(`${chat}/messages`)
    await sandbox.called(2)
    const startedAt = performance.now()

    const refused = await gateway.post(`${chat}/messages`, { message: 'Hello' })

    expect(refused).toMatchObject({ status: 503, json: { code: 'overloaded', outcome: 'not_applied', retry: 'yes' } })
    expect(performance.now() - startedAt, 'it would have given up after 2500').toBeLessThan(2_000)
    expect(await running).toMatchObject({ status: 200 })
    expect(sandbox.sent).toEqual([])
  })

  test('does not leave with too little of its budget', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '2', AFILNET_TIMEOUT_MS: '500', AFILNET_LATE_MS: '0' } })
    sandbox.answer({ fault: 'silent', times: 4 })

    const send = () => gateway.post(`${chat}/messages`, { message: 'Hello' })
    const first = [send(), send()]
    await sandbox.called(2)
    const replies = await Promise.all([...first, send(), send()])

    expect(replies.map(({ status }) => status)).toEqual([504, 504, 503, 503])
    expect(sandbox.calls).toHaveLength(2)
  })

  test('is told to come back the later, the longer the queue is', async ({ start, sandbox }) => {
    const gateway = await start({ env: { AFILNET_CONNECTIONS: '8', AFILNET_TIMEOUT_MS: '5000' } })
    sandbox.latencyMs = 1_500
    await gateway.get(`${chat}/messages`)

    const replies = await Promise.all(reads(gateway, 0, 20))

    const refused = replies.filter(({ status }) => status === 503)
    expect(refused.map(({ headers }) => headers['retry-after'])).toEqual(['2', '2', '2', '2'])
    expect(replies.filter(({ status }) => status === 404)).toHaveLength(16)
  })
})
