import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { oneOf } from '../lib/string-enum.ts'
import { Problem } from '../problem/problem.ts'

/** Where the process is in its life: it serves until `draining`, and says that it is leaving before. */
export type Lifecycle = {
  phase: 'serving' | 'leaving' | 'draining'
  /** Accepted requests whose answers are not yet on their way as a whole. */
  unanswered: number
}

export const newborn = (): Lifecycle => ({ phase: 'serving', unanswered: 0 })

type HealthOptions = { lifecycle: Lifecycle; state: () => State }

const Live = Type.Object({ status: Type.Literal('live') }, { examples: [{ status: 'live' }] })
/** What works, beside the process itself. */
export type State = Static<typeof State>
const State = Type.Object({
  store: oneOf(['ok', 'unavailable'], { description: 'Whether sends can be written down; reads do without' }),
  credentials: oneOf(['ok', 'rejected'], { description: 'Whether Afilnet took those of every account' }),
  sandbox: Type.Optional(Type.Boolean({ description: "Afilnet's answers come from the sandbox, not from Afilnet" })),
})
const Ready = Type.Object(
  { status: oneOf(['ready', 'draining']), ...State.properties },
  { examples: [{ status: 'ready', store: 'ok', credentials: 'ok' }] },
)

/** Refuses new requests once the process drains, whatever they ask for, and counts those that are owed an answer. */
export const draining = fp<{ lifecycle: Lifecycle }>(async function draining(app: FastifyInstance, { lifecycle }) {
  app.addHook('onRequest', (request, reply, done) => {
    if (lifecycle.phase === 'draining' && !request.routeOptions.url?.startsWith('/health/')) return done(new Problem('draining'))
    lifecycle.unanswered++
    reply.raw.once('close', () => lifecycle.unanswered--)
    done()
  })
  // Callers that keep connections are sent to another process before these are closed under their hands.
  app.addHook('onSend', (_, reply, payload, done) => {
    if (lifecycle.phase !== 'serving') reply.header('connection', 'close')
    done(null, payload)
  })
})

/** Says whether the process lives and takes requests. */
export const health = fp<HealthOptions>(async function health(app: FastifyInstance, { lifecycle, state }) {
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
            content: { 'application/json': { schema: Ready, example: { status: 'draining', store: 'ok', credentials: 'ok' } } },
          },
        },
      },
    },
    async (_, reply): Promise<Static<typeof Ready>> => {
      const serving = lifecycle.phase === 'serving'
      reply.code(serving ? 200 : 503).header('cache-control', 'no-store')
      return { status: serving ? 'ready' : 'draining', ...state() }
    },
  )
})
