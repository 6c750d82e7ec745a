import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import { catalogue, type ProblemCode } from '../problem/catalogue.ts'
import { Problem } from '../problem/problem.ts'
import { AcceptHeader, isBrowser, jsonOrPage, markup, sendPage } from './html-page.ts'
import { ref } from './params.ts'

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

/** Every error there is, in a line each. */
export const ProblemList = Type.Object(
  { items: Type.Array(Type.Object({ code: Type.String(), status: Type.Integer(), title: Type.String() })) },
  { $id: 'ProblemList', examples: [{ items: [{ code: 'chat-not-found', status: 404, title: catalogue['chat-not-found'].title }] }] },
)
type ListedProblem = Static<typeof ProblemList>['items'][number]

const rows = Object.entries(catalogue).map(([code, { status, title }]) => ({ code, status, title }))

/** Public pages that explain each error: what it means, who must act, whether a retry is safe. */
export const problemPages: FastifyPluginAsyncTypebox<{ base: string }> = async (app, { base }) => {
  app.get(
    '/problems',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'listProblems',
        summary: 'Every error, with its status and title',
        tags: ['Gateway'],
        headers: AcceptHeader,
        response: { 200: jsonOrPage('The errors', ref(ProblemList)) },
      },
    },
    async ({ headers }, reply) => {
      reply.headers({ vary: 'Accept', 'cache-control': 'public, max-age=3600' })
      return isBrowser(headers) ? sendPage(reply, 'Errors', index(rows, base)) : { items: rows }
    },
  )
  app.get(
    '/problems/:code',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'explainProblem',
        summary: 'What an error means, who must act, and whether a retry is safe',
        tags: ['Gateway'],
        params: Type.Object({ code: Type.String({ description: 'The `code` of an error', examples: ['chat-not-found'] }) }),
        headers: AcceptHeader,
        response: { 200: jsonOrPage('The explanation', ref(ProblemExplanation), explain('chat-not-found')) },
      },
    },
    async ({ params, headers }, reply) => {
      if (!Object.hasOwn(catalogue, params.code)) throw new Problem('not-found', { detail: 'No error has this code.' })
      const explanation = explain(params.code as ProblemCode) // it is a key of the catalogue
      reply.headers({ vary: 'Accept', 'cache-control': 'public, max-age=3600' })
      return isBrowser(headers) ? sendPage(reply, explanation.code, page(explanation, base)) : explanation
    },
  )
}

/** What an error means, for the page of the error and `docs/errors.md`. */
export function explain(code: ProblemCode): Explanation {
  const { status, title, meaning, action } = catalogue[code]
  return { code, status, title, meaning: `${meaning} ${action}`, retry: retryAdvice(code) }
}

function retryAdvice(code: ProblemCode): string {
  const { retry } = new Problem(code, code === 'idempotency-key-in-use' ? { outcome: 'unknown' } : {})
  if (retry === 'same-key') return 'Yes, with the same Idempotency-Key: it asks for the outcome and never sends again.'
  if (retry === 'no') return 'No: the same request gets the same answer until something changes.'
  return catalogue[code].status === 502 || catalogue[code].status === 504 || code === 'internal-error'
    ? 'Yes where `outcome` is `not_applied`. Where it is `unknown`, a message may have been sent: with an `Idempotency-Key`, repeat the same request; without one, look into the conversation first.'
    : 'Yes: nothing was applied. Wait for `Retry-After` where the answer has it.'
}

const page = ({ code, status, title, meaning, retry }: Explanation, base: string) => `<p><a href="${base}/problems">All errors</a></p>
<h1>${markup(title)}</h1>
<p><code>${code}</code>, HTTP ${status}</p>
<h2>What it means</h2><p>${markup(meaning)}</p>
<h2>May I repeat the request?</h2><p>${markup(retry)}</p>`

const index = (rows: ListedProblem[], base: string) => `<h1>Errors</h1>
<p>Decide on the <code>code</code> of an error, on <code>outcome</code> and on <code>retry</code>. Each page says who must act and whether to repeat the request.</p>
<ul>
${rows.map(({ code, status, title }) => `<li>${status} <a href="${base}/problems/${code}">${code}</a><br><span class="muted">${markup(title)}</span></li>`).join('\n')}
</ul>`
