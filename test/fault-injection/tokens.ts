import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, json } from './client.ts'
import type { Scenario } from './scenarios.ts'

/** What a token may meet in another conversation: a refusal, also by a gateway that cannot tell, or no answer. */
const refusals = ['403 chat-not-allowed', '401 unauthenticated', '503 draining', '503 store-unavailable', 'no answer']

/** The part of a destination that no token reaches. */
export const elsewhere = '-elsewhere'

/** Tokens for the conversations of scenarios, issued while everything is disturbed. */
export function createTokens(client: Client, count: (name: string) => void) {
  /** Rejects if no gateway issues one for long: without it, the scenario would go on as another caller. */
  async function issue({ destination }: Scenario): Promise<string> {
    for (let tries = 0; tries < 150; tries++) {
      const chat = { platform: 'telegram', platformId: '200', destination }
      const body = { chat, scopes: ['messages:read', 'messages:send', 'files:send', 'media:write'], ttlSeconds: 3600, actor: 'page' }
      const reply = await client.ask({ gateway: client.choose(), path: '/tokens', method: 'POST', ...json(body) })
      if (reply?.status === 201) {
        count('tokens issued')
        return String(reply.json.token)
      }
      await sleep(200)
    }
    throw new Error('no token was issued')
  }

  return {
    /** The token of a scenario, if it uses one. */
    async of(scenario: Scenario): Promise<string | undefined> {
      if (scenario.withToken) scenario.token ??= await issue(scenario)
      return scenario.token
    },

    /** Another ledger has another secret: what it has issued is worth nothing under the one that is back. */
    forget(scenario: Scenario) {
      delete scenario.token
    },

    /** Uses the token in another conversation; gives what was answered but should not have been. */
    async tryElsewhere({ destination, token }: Scenario): Promise<string[]> {
      const path = `/chats/telegram/200/${destination}${elsewhere}/messages`
      const gateway = client.choose()
      const replies = [
        await client.ask({ gateway, path, token, method: 'POST', ...json({ message: 'Hello' }) }),
        await client.ask({ gateway, path, token }),
      ]
      const names = replies.map(reply => (reply ? `${reply.status} ${reply.json.code}` : 'no answer'))
      for (const name of names) if (name.startsWith('403')) count('tokens refused elsewhere')
      return names.filter(name => !refusals.includes(name)).map(name => `a token reaches one conversation: ${name} for ${path}`)
    },
  }
}
