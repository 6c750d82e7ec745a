import { setTimeout as sleep } from 'node:timers/promises'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { keys } from './configuration.ts'
import type { GatewayProcess } from './gateway-process.ts'

export const channel = { platform: 'telegram', platformid: '200' }

const headers = { authorization: `Bearer ${keys.shop}` }

type Options = {
  sandbox: Sandbox
  gateways: readonly GatewayProcess[]
  prefix: string
  random: () => number
  count: (name: string) => void
  isOver: () => boolean
}

/** Customers write, and callers answer them: at once, in the queue, or not at all, since the send is canceled. */
export async function write({ sandbox, gateways, prefix, random, count, isOver }: Options) {
  const cancels: Promise<void>[] = []
  const url = () => `${gateways[random() < 0.5 ? 0 : 1]?.url()}`

  /** What becomes of it, the events say; its reference tells which message it is. */
  async function send(destination: string, message: string) {
    const way = random()
    const later = way < 0.25 && { sendAt: new Date(Date.now() + 3_000 * random()).toISOString() }
    const reply = await fetch(`${url()}/chats/telegram/200/${destination}/messages`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', ...(way < 0.45 && { prefer: 'respond-async' }) },
      body: JSON.stringify({ message, reference: message, ...later }),
    }).catch(() => undefined)
    const send = (await reply?.json().catch(() => undefined)) as { id?: string } | undefined
    count('sends')
    if (reply?.status !== 202) return
    count('queued')
    if (random() < 0.4) cancels.push(cancel(String(send?.id)))
  }

  async function cancel(id: string) {
    await sleep(random() * 3_000)
    await fetch(`${url()}/sends/${id}`, { method: 'DELETE', headers }).catch(() => {})
  }

  for (let n = 0; !isOver(); n++) {
    const destination = `${prefix}${Math.floor(random() * 8)}`
    if (random() < 0.7) sandbox.receive({ ...channel, destination, message: `From the customer ${n}` })
    else await send(destination, `To the customer ${n}`)
    await sleep(random() * 150)
  }
  await Promise.all(cancels)
}
