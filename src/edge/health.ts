import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../problem.ts'

/** Where the process is in its life: it serves until `draining`, and says that it is leaving before. */
export type Lifecycle = {
  phase: 'serving' | 'leaving' | 'draining'
  /** Accepted requests whose answers are not yet on their way as a whole. */
  unanswered: number
}

export const newborn = (): Lifecycle => ({ phase: 'serving', unanswered: 0 })

type HealthOptions = { lifecycle: Lifecycle; sandboxed: () => boolean }

const Live = Type.Object({ status: Type.Literal('live') }, { examples: [{ status: 'live' }] })
const Ready = Type.Object(
  {
    status: Type.Unsafe<'ready' | 'draining'>({ type: 'string', enum: ['ready', 'draining'] }),
    sandbox: Type.Optional(Type.Boolean({ description: "Afilnet's answers come from the sandbox, not from Afilnet" })),
  },
  { examples: [{ status: 'ready' }] },
)

/** Says whether the process lives and takes requests, and refuses them once it drains. */
export const health = fp<HealthOptions>(async function health(app: FastifyInstance, { lifecycle, sandboxed }) {
  app.addHook('onRequest', async ({ routeOptions }, reply) => {
    if (lifecycle.phase === 'draining' && !routeOptions.url?.startsWith('/health/')) throw new Problem('draining')
    lifecycle.unanswered++
    reply.raw.once('close', () => lifecycle.unanswered--)
  })
  // Callers that keep connections are sent to another process before these are closed under their hands.
  app.addHook('onSend', async (_, reply) => {
    if (lifecycle.phase !== 'serving') reply.header('connection', 'close')
  })

  app.get(
    '/health/live',
    {
      config: { scope: 'public' },
      schema: { operationId: 'getLiveness', summary: 'Whether the process lives', tags: ['Gateway'], response: { 200: Live } },
    },
    async (_, reply): Promise<Static<typeof Live>> => {
      reply.header('cache-control', 'no-store')
      return { status: 'live' }
    },
  )
  app.get(
    '/health/ready',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'getReadiness',
        summary: 'Whether the process takes requests',
        tags: ['Gateway'],
        response: {
          200: Ready,
          503: {
            description: 'Leaving: send nothing new here',
            content: { 'application/json': { schema: Ready, example: { status: 'draining' } } },
          },
        },
      },
    },
    async (_, reply): Promise<Static<typeof Ready>> => {
      const serving = lifecycle.phase === 'serving'
      reply.code(serving ? 200 : 503).header('cache-control', 'no-store')
      return { status: serving ? 'ready' : 'draining', ...(sandboxed() && { sandbox: true }) }
    },
  )
})
