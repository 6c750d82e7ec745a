import { setTimeout as sleep } from 'node:timers/promises'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { passing } from './caller.ts'
import { type Client, json } from './client.ts'
import { type Plan, plans, type QueuedScenario, type QueueRequest } from './queue-scenarios.ts'

/** Callers of one round whose sends wait, and who cancel some of them. */
export function createQueueCaller(client: Client, sandbox: Sandbox, random: () => number, count: (name: string) => void) {
  type Request = { path: string; method: 'POST' | 'DELETE'; as: QueuedScenario['caller'] } & Partial<ReturnType<typeof json>>

  async function ask(into: QueueRequest[], request: Request): Promise<QueueRequest> {
    const asked: QueueRequest = { at: Date.now(), until: Number.POSITIVE_INFINITY, json: {} }
    into.push(asked)
    const reply = await client.ask({ gateway: client.choose(), ...request })
    asked.until = Date.now()
    return Object.assign(asked, reply && { status: reply.status, json: reply.json })
  }

  /** Posts until an answer says more than that something is out of order; without a key, once. */
  async function post(scenario: QueuedScenario): Promise<QueueRequest> {
    const { destination, caller, keyed, sendAt, expiresAt } = scenario
    const body = {
      message: destination,
      ...(sendAt > 0 && { sendAt: new Date(sendAt).toISOString() }),
      ...(expiresAt > 0 && { expiresAt: new Date(expiresAt).toISOString() }),
    }
    const { headers, ...rest } = json(body)
    const more = { prefer: 'respond-async', ...(keyed && { 'idempotency-key': destination }) }
    const request = { path: `/chats/telegram/200/${destination}/messages`, method: 'POST', as: caller, ...rest } as const
    for (let tries = 0; ; tries++) {
      const posted = await ask(scenario.posts, { ...request, headers: { ...headers, ...more } })
      const { status, json } = posted
      const passes = status === undefined || status === 409 || status === 500 || passing.includes(String(json.code))
      if (!keyed || tries >= 40 || !passes) return posted
      await sleep(200)
    }
  }

  /** Cancels until there is an answer. */
  async function cancel(into: QueueRequest[], id: string, as: QueuedScenario['caller']) {
    for (let tries = 0; tries < 20; tries++) {
      const { status = 0 } = await ask(into, { path: `/sends/${id}`, method: 'DELETE', as })
      if (status !== 0 && status < 500 && status !== 401) return
      await sleep(200)
    }
  }

  return {
    post,

    async play(scenario: QueuedScenario) {
      const { destination, caller, plan, cancelAfterMs, repeats } = scenario
      const { dueMs, livesMs, answers }: Plan = plans[plan]
      for (const answer of answers) sandbox.answer({ ...answer, destination })
      const now = Date.now()
      if (dueMs) scenario.sendAt = now + dueMs
      if (livesMs) scenario.expiresAt = now + livesMs
      const { status, json } = await post(scenario)
      if (status === 202) count('queued')
      const id = typeof json.id === 'string' ? json.id : undefined
      const cancels = cancelAfterMs.map(async ms => {
        await sleep(ms)
        if (id) await cancel(scenario.cancels, id, caller)
      })
      if (id && random() < 0.1) await cancel(scenario.foreignCancels, id, caller === 'shop' ? 'clerk' : 'shop')
      if (scenario.keyed)
        for (let n = 0; n < repeats; n++) {
          await sleep(random() * 1_500)
          await post(scenario)
        }
      await Promise.all(cancels)
    },
  }
}
