import { hash } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { catalogue, type ProblemCode } from '../problem/catalogue.ts'
import { Problem } from '../problem/problem.ts'

/** What an error means, in words. */
export const ProblemExplanation = Type.Object(
  {
    code: Type.String(),
    status: Type.Integer(),
    title: Type.String(),
    meaning: Type.String({ description: 'What it means, who must act and what to do' }),
    retry: Type.String({ description: 'Whether repeating the request is safe and of use' }),
  },
  { $id: 'ProblemExplanation' },
)
type Explanation = Static<typeof ProblemExplanation>

/** Public pages that explain each error: what it means, who must act, whether a retry is safe. */
export const problemPages: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '/problems/:code',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'explainProblem',
        summary: 'What an error means, who must act, and whether a retry is safe',
        tags: ['Gateway'],
        params: Type.Object({ code: Type.String({ description: 'The `code` of an error', examples: ['chat-not-found'] }) }),
        headers: Type.Object({ accept: Type.Optional(Type.String({ description: 'With `text/html`: a page' })) }),
        response: {
          200: {
            description: 'The explanation; HTML for a browser',
            content: {
              'application/json': { schema: Type.Unsafe<Explanation>(Type.Ref('ProblemExplanation')), example: explain('chat-not-found') },
              'text/html': { schema: Type.String(), example: '<!doctype html>…' },
            },
          },
        },
      },
    },
    async ({ params, headers }, reply) => {
      if (!Object.hasOwn(catalogue, params.code)) throw new Problem('not-found', { detail: 'No error has this code.' })
      const explanation = explain(params.code as ProblemCode) // it is a key of the catalogue
      reply.headers({ vary: 'Accept', 'cache-control': 'public, max-age=3600' })
      if (!headers.accept?.includes('text/html')) return explanation
      return reply.headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': pagePolicy }).send(page(explanation))
    },
  )
}

/** What an error means, for the page of the error and `docs/errors.md`. */
export function explain(code: ProblemCode): Explanation {
  const { status, title, meaning, action } = catalogue[code]
  return { code, status, title, meaning: `${meaning} ${action}`, retry: retryAdvice(code) }
}

function retryAdvice(code: ProblemCode): string {
  const { retry } = new Problem(code)
  if (retry === 'same-key') return 'Yes, with the same Idempotency-Key: it asks for the outcome and never sends again.'
  if (retry === 'no') return 'No: the same request gets the same answer until something changes.'
  return catalogue[code].status === 502 || catalogue[code].status === 504 || code === 'internal-error'
    ? 'Yes where `outcome` is `not_applied`. Where it is `unknown`, a message may have been sent: with an `Idempotency-Key`, repeat the same request; without one, look into the conversation first.'
    : 'Yes: nothing was applied. Wait for `Retry-After` where the answer has it.'
}

const style = 'body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}code{background:#eee;padding:0 .2em}'
const pagePolicy = `default-src 'none'; style-src 'sha256-${hash('sha256', style, 'base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

function page({ code, status, title, meaning, retry }: Explanation) {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${code}</title><style>${style}</style></head>
<body><h1>${markup(title)}</h1>
<p><code>${code}</code>, HTTP ${status}</p>
<h2>What it means</h2><p>${markup(meaning)}</p>
<h2>May I repeat the request?</h2><p>${markup(retry)}</p>
</body></html>
`
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
const markup = (text: string) => text.replace(/[&<>]/g, character => escapes[character] ?? '').replace(/`([^`]+)`/g, '<code>$1</code>')
