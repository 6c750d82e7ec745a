import { Agent } from 'undici'
import type { Row } from './invariants.ts'
import type { Answer, Post, Scenario } from './scenarios.ts'
import { key, type Setup } from './setup.ts'

/** The callers of one round: they post scenarios and read the ledger through the API. */
export function createCaller({ victim, gateways, balancer, ports, witness }: Setup, random: () => number, concurrency: number) {
  const client = new Agent({ connections: concurrency * 2, headersTimeout: 30_000, bodyTimeout: 30_000 })
  const answers: Record<string, number> = {}
  const count = (name: string) => {
    answers[name] = (answers[name] ?? 0) + 1
  }

  async function post(scenario: Scenario, hungUp: boolean): Promise<Post> {
    const { destination, keyed, kind } = scenario
    // The victim is to blame for requests without an answer, so behind a balancer, where they cannot tell, it counts as their gateway.
    const chosen = !balancer && (victim.url() === '' || random() >= 0.6) ? 1 : 0
    const post: Post = { gateway: chosen, startedAt: Date.now(), endedAt: 0, hungUp }
    scenario.posts.push(post)
    const abort = new AbortController()
    const body = kind === 'messages' ? { message: destination } : { type: 'image', fileUrl: `https://example.com/${destination}.jpg` }
    const request = client.request({
      origin: balancer?.url ?? gateways[chosen].url(),
      path: `/chats/telegram/200/${destination}/${kind}`,
      method: 'POST',
      headers: {
        authorization: `Bearer ${scenario.token ?? key}`,
        'content-type': 'application/json',
        ...(keyed && { 'idempotency-key': destination }),
      },
      body: JSON.stringify(body),
      signal: abort.signal,
    })
    if (hungUp) setTimeout(() => abort.abort(), random() * 60)
    const answer = await request
      .then(async ({ statusCode, headers, body }) => ({ status: statusCode, headers, text: await body.text() }))
      .catch(() => undefined)
    post.endedAt = Date.now()
    const servedBy = balancer && answer?.headers['x-served-by']
    if (servedBy) post.gateway = String(servedBy).endsWith(`:${ports[1]}`) ? 1 : 0
    if (!answer || (balancer && !servedBy)) count('no answer')
    else {
      post.answer = readAnswer(answer)
      count(`${answer.status} ${post.answer.json.code ?? post.answer.json.state}`)
    }
    return post
  }

  async function issueToken({ destination }: Scenario): Promise<string> {
    const { body } = await client.request({
      origin: witness.url(),
      path: '/tokens',
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        chat: { platform: 'telegram', platformId: '200', destination },
        scopes: ['messages:send', 'files:send'],
        ttlSeconds: 3600,
      }),
    })
    return ((await body.json()) as { token: string }).token // the contract has it so
  }

  async function list(query: string): Promise<{ items: Row[]; nextCursor?: string }> {
    const headers = { authorization: `Bearer ${key}` }
    const { body } = await client.request({ origin: witness.url(), path: `/sends?limit=100${query}`, method: 'GET', headers })
    return (await body.json()) as { items: Row[] } // the contract has it so
  }

  return {
    answers,
    post,
    /** Before anything is disturbed: a scenario has its token from its first post to its last. */
    async issueTokens(scenarios: readonly Scenario[]) {
      for (const scenario of scenarios) if (scenario.withToken) scenario.token = await issueToken(scenario)
    },
    /** Whether a send still runs, or seems to. */
    pending: async () => (await list('&state=pending')).items.length > 0,
    /** Every send to destinations with the prefix, newest first. */
    async sends(prefix: string): Promise<Row[]> {
      const rows: Row[] = []
      for (let cursor: string | undefined = ''; cursor !== undefined; ) {
        const page = await list(cursor === '' ? '' : `&cursor=${cursor}`)
        const matching = page.items.filter(({ destination }) => destination.startsWith(prefix))
        rows.push(...matching)
        cursor = matching.length === 0 ? undefined : page.nextCursor
      }
      return rows
    },
    close: () => client.destroy(),
  }
}

type RawAnswer = { status: number; headers: Record<string, string | string[] | undefined>; text: string }

const readAnswer = ({ status, headers, text }: RawAnswer): Answer => ({
  status,
  text,
  json: JSON.parse(text),
  replayed: headers['idempotency-replayed'] === 'true',
  retryAfter: headers['retry-after'] as string | undefined, // sent once
})
