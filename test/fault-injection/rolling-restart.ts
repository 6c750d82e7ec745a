import { Agent } from 'undici'
import { startSandbox } from '../../src/sandbox/app.ts'
import { keys } from './configuration.ts'
import type { Setup } from './setup.ts'

/**
 * Restarts one gateway after the other while callers go on through the load balancer.
 *
 * Resolves with the number of answers by method and status, and the number of messages that the sandbox took.
 */
export async function restartInTurn({ proxies, gateways, ports, balancer }: Setup) {
  const sandbox = await startSandbox()
  for (const proxy of proxies) proxy.leadTo(Number(new URL(sandbox.url).port))
  const client = new Agent({ pipelining: 0 }) // the balancer closes idle connections when its configuration changes
  const answers: Record<string, number> = {}
  let rolling = true
  const caller = async (i: number) => {
    for (let n = 0; rolling; n++) {
      const send = n % 2 === 0
      const { statusCode, body } = await client.request({
        origin: String(balancer?.url),
        path: send ? `/chats/telegram/200/roll-${i}-${n}/messages` : '/channels',
        method: send ? 'POST' : 'GET',
        headers: { authorization: `Bearer ${keys.shop}`, ...(send && { 'content-type': 'application/json' }) },
        body: send ? '{"message":"Hello"}' : null,
      })
      await body.dump()
      const name = `${send ? 'POST' : 'GET'} ${statusCode}`
      answers[name] = (answers[name] ?? 0) + 1
    }
  }
  const callers = Promise.all(Array.from({ length: 8 }, (_, i) => caller(i)))
  for (const [i, gateway] of [...gateways, ...gateways].entries()) {
    await balancer?.takeOut([ports[i % 2] as number]) // as many as gateways
    await gateway.stop('SIGTERM')
    await gateway.start()
    await balancer?.takeOut([])
  }
  rolling = false
  await callers
  await client.destroy()
  await sandbox.close()
  return { answers, taken: sandbox.sent.length }
}
