import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { Lifecycle } from '../lib/lifecycle.ts'
import { oneOf } from '../lib/string-enum.ts'
import { ref } from './params.ts'

type HealthOptions = { lifecycle: Lifecycle; state: () => State }

/** The process answers. */
export const Liveness = Type.Object({ status: Type.Literal('live') }, { $id: 'Liveness', examples: [{ status: 'live' }] })
/** What works, beside the process itself. */
export type State = Static<typeof State>
const State = Type.Object({
  store: oneOf(['ok', 'changed', 'unavailable'], {
    description:
      '`unavailable`: no send can be recorded. `changed`: the ledger was replaced, and sends with a key are refused. Reads go on.',
  }),
  credentials: oneOf(['ok', 'rejected'], { description: 'Whether Afilnet took those of every account' }),
  sandbox: Type.Optional(Type.Boolean({ description: "Afilnet's answers come from the sandbox, not from Afilnet" })),
})

/** Whether the process takes requests, and what works. */
export const Readiness = Type.Object(
  { status: oneOf(['ready', 'draining']), ...State.properties },
  { $id: 'Readiness', examples: [{ status: 'ready', store: 'ok', credentials: 'ok' }] },
)

const readiness = ref(Readiness)

/** Says whether the process lives and takes requests. */
export const health: FastifyPluginAsyncTypebox<HealthOptions> = async (app, { lifecycle, state }) => {
  app.get(
    '/health/live',
    {
      config: { scope: 'public', whileDraining: true },
      schema: {
        operationId: 'getLiveness',
        summary: 'Whether the process lives',
        tags: ['Gateway'],
        response: { 200: ref(Liveness) },
      },
    },
    async (_, reply): Promise<Static<typeof Liveness>> => {
      reply.header('cache-control', 'no-store')
      return { status: 'live' }
    },
  )
  app.get(
    '/health/ready',
    {
      config: { scope: 'public', whileDraining: true },
      schema: {
        operationId: 'getReadiness',
        summary: 'Whether the process takes requests',
        tags: ['Gateway'],
        response: {
          200: readiness,
          503: {
            description: 'Leaving: send nothing new here',
            content: { 'application/json': { schema: readiness, example: { status: 'draining', store: 'ok', credentials: 'ok' } } },
          },
        },
      },
    },
    async (_, reply): Promise<Static<typeof Readiness>> => {
      const serving = lifecycle.phase === 'serving'
      reply.code(serving ? 200 : 503).header('cache-control', 'no-store')
      return { status: serving ? 'ready' : 'draining', ...state() }
    },
  )
}
