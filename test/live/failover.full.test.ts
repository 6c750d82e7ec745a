import { describe, expect, onTestFinished } from 'vitest'
import { test } from '../gateway.ts'
import { noServer, startServer } from '../store/valkey/server.ts'
import { openSwitch } from '../store/valkey/switch.ts'
import { watching } from './streaming.ts'

const channel = { platform: 'whatsapp', platformid: '100' }
const env = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }

describe.skipIf(noServer)('A message whose event a failover takes back (needs redis-server)', () => {
  test.for([
    ['although a connection still reads from the primary before', 'writer', 0],
    ['although the ledger was out of order before', 'all', 1e15],
  ] as const)('gets another event, %s', async ([, cut, bytes], { start, sandbox }) => {
    const before = await startServer()
    onTestFinished(before.end)
    const next = await startServer({ settings: { replicaof: `127.0.0.1 ${before.port}` } })
    onTestFinished(next.end)
    before.cli('INCRBY', 'afg:bytes', String(bytes)) // without it, it would have nothing to say for ten seconds
    await expect.poll(() => before.cli('INFO', 'replication'), { interval: 50 }).toMatch(/state=online,offset=[1-9]/)
    const { url, leadTo, cut: cutNow } = await openSwitch(before.port)
    const gateway = await start({ env: { ...env, STORE_URL: url } })
    await watching(gateway)
    const baseline = () => next.cli('HEXISTS', 'afg:states:default', '["whatsapp","100"]') // the channel's own state comes last
    await expect.poll(baseline, { interval: 50 }).toBe('1')
    next.cli('REPLICAOF', 'NO', 'ONE')
    const id = sandbox.receive({ ...channel, destination: '34600000000', message: 'Hello?' })
    const logOf = (server: typeof next) => server.cli('XRANGE', 'afg:events:default', '-', '+')
    const found = async () =>
      (await (await fetch(`${gateway.adminUrl}/metrics`)).text()).match(/_events_total{.*"message.created"} (\d)/)?.[1]
    await expect.poll(found, { interval: 50 }).toBe('1') // the write has been answered
    expect(logOf(before)).toContain(`"messageId":"${id}"`)
    leadTo(next.port)
    cutNow(cut)

    await expect.poll(() => logOf(next), { interval: 50 }).toContain(`"messageId":"${id}"`)
  })
})
