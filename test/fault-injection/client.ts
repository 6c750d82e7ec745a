import { Agent, type Dispatcher } from 'undici'
import { type CallerName, keys } from './configuration.ts'
import type { Setup } from './setup.ts'

/** An answer as it came. */
export type Reply = { status: number; headers: Record<string, string | string[] | undefined>; text: string; json: Record<string, unknown> }

type Request = Partial<Dispatcher.RequestOptions> & { gateway?: 0 | 1; path: string; as?: CallerName; token?: string | undefined }

export type Client = ReturnType<typeof createClient>

/** Requests to gateways through the load balancer, or to one that serves just now. */
export function createClient({ gateways, balancer, victim }: Setup, random: () => number, connections: number) {
  const agent = new Agent({ connections, headersTimeout: 30_000, bodyTimeout: 30_000 })

  return {
    /** The gateway that a request without a load balancer goes to: more often the one that is disturbed. */
    choose: (): 0 | 1 => (!balancer && (victim.url() === '' || random() >= 0.6) ? 1 : 0),

    /** Nothing if no answer of a gateway came: a load balancer without one says nothing about a send. */
    async ask(options: Request): Promise<Reply | undefined> {
      const { gateway = 0, as = 'shop', token, headers, ...rest } = options
      const authorization = `Bearer ${token ?? keys[as]}`
      const origin = balancer?.url ?? gateways[gateway].url()
      return agent
        .request({ method: 'GET', ...rest, origin, headers: { authorization, ...(headers as Record<string, string>) } }) // never a list here
        .then(async ({ statusCode, headers, body }) => {
          const text = await body.text()
          if (balancer && !headers['x-served-by']) return undefined
          return { status: statusCode, headers, text, json: jsonOf(text) }
        })
        .catch(() => undefined)
    },

    close: () => agent.destroy(),
  }
}

/** The gateway answers nothing but objects; a load balancer may. */
function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}

export const json = (body: unknown) => ({ body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
