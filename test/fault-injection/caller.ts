import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, json, type Reply } from './client.ts'
import { type CallerName, keys } from './configuration.ts'
import { cutOff, formOf } from './files.ts'
import type { Row } from './invariants.ts'
import type { Answer, Post, Scenario } from './scenarios.ts'
import type { Setup } from './setup.ts'
import { createTokens } from './tokens.ts'

/** Callers meet these while something is out of order; a good caller waits and posts again. */
export const passing = ['upstream-circuit-open', 'upstream-unreachable', 'store-unavailable', 'ledger-changed', 'unauthenticated']

const names = Object.keys(keys) as CallerName[] // the record's own names

/** The callers of one round: they post scenarios and read the ledger through the API. */
export function createCaller(setup: Setup, random: () => number, concurrency: number, countWork: (name: string) => void) {
  const { ports } = setup
  const client = createClient(setup, random, concurrency * 2)
  const tokens = createTokens(client, countWork)
  const answers: Record<string, number> = {}
  const count = (name: string) => {
    answers[name] = (answers[name] ?? 0) + 1
  }

  async function post(scenario: Scenario, hungUp: boolean): Promise<Post> {
    const { destination, keyed, kind } = scenario
    const token = await tokens.of(scenario)
    // The victim is to blame for requests without an answer, so behind a balancer, where they cannot tell, it counts as their gateway.
    const gateway = client.choose()
    const post: Post = { gateway, startedAt: Date.now(), endedAt: 0, hungUp }
    scenario.posts.push(post)
    const abort = new AbortController()
    const { body, contentType } = contentOf(scenario)
    const isCut = hungUp && kind === 'form' && random() < 0.5
    const headers = {
      'content-type': contentType,
      'content-length': String(Buffer.byteLength(body)),
      ...(keyed && { 'idempotency-key': destination }),
    }
    const path = `/chats/telegram/200/${destination}/${kind === 'messages' ? kind : 'files'}`
    const sent = isCut ? cutOff(Buffer.from(body), abort.signal, random()) : body
    const request = client.ask({ gateway, path, method: 'POST', token, headers, body: sent, signal: abort.signal })
    if (hungUp) setTimeout(() => abort.abort(), random() * 60)
    if (kind === 'form') countWork(isCut ? 'uploads cut off' : 'uploads')
    const answer = await request
    post.endedAt = Date.now()
    const servedBy = answer?.headers['x-served-by']
    if (servedBy) post.gateway = String(servedBy).endsWith(`:${ports[1]}`) ? 1 : 0
    if (!answer) count('no answer')
    else {
      post.answer = readAnswer(answer)
      count(`${answer.status} ${post.answer.json.code ?? post.answer.json.state}`)
      if (post.answer.json.code === 'unauthenticated') tokens.forget(scenario)
    }
    return post
  }

  /** Stores the file of a scenario; it gets the URL that sends name. */
  async function store(scenario: Scenario) {
    for (let tries = 0; tries < 40 && !scenario.fileUrl; tries++) {
      const span = { at: Date.now(), until: Number.POSITIVE_INFINITY }
      scenario.uploads.push(span)
      const { body, contentType } = formOf(scenario.destination)
      const upload = { gateway: client.choose(), path: '/media', method: 'POST', body, headers: { 'content-type': contentType } } as const
      const reply = await client.ask({ ...upload, token: await tokens.of(scenario) })
      span.until = Date.now()
      countWork('uploads')
      if (reply?.status === 201) scenario.fileUrl = String(reply.json.url)
      else if (reply?.json.code === 'unauthenticated') tokens.forget(scenario)
      if (!scenario.fileUrl) await sleep(200)
    }
  }

  async function list(as: CallerName, query: string): Promise<{ items: Row[]; nextCursor?: string }> {
    const reply = await client.ask({ gateway: 1, as, path: `/sends?limit=100${query}` })
    if (reply?.status !== 200) throw new Error(`sends are listed, not answered with ${reply?.status} ${reply?.json.code}`)
    return reply.json as { items: Row[] } // the contract has it so
  }

  return {
    client,
    answers,
    post,
    store,
    tryElsewhere: tokens.tryElsewhere,
    /** Whether a send waits or runs, or seems to. */
    async has(state: 'pending' | 'queued') {
      for (const name of names) if ((await list(name, `&state=${state}`)).items.length > 0) return true
      return false
    },
    /** Every send to destinations with the prefix, newest first by caller. */
    async sends(prefix: string): Promise<Row[]> {
      const rows: Row[] = []
      for (const name of names)
        for (let cursor: string | undefined = ''; cursor !== undefined; ) {
          const page: Awaited<ReturnType<typeof list>> = await list(name, cursor === '' ? '' : `&cursor=${cursor}`)
          const matching = page.items.filter(({ destination }) => destination.startsWith(prefix))
          rows.push(...matching)
          cursor = matching.length === 0 ? undefined : page.nextCursor
        }
      return rows
    },
    close: client.close,
  }
}

function contentOf({ destination, kind, fileUrl = `https://example.com/${destination}.jpg` }: Scenario) {
  if (kind === 'form') return formOf(destination)
  const body = kind === 'messages' ? { message: destination } : { type: kind === 'stored' ? 'document' : 'image', fileUrl }
  return { body: json(body).body, contentType: 'application/json' }
}

const readAnswer = ({ status, headers, text, json }: Reply): Answer => ({
  status,
  text,
  json,
  replayed: headers['idempotency-replayed'] === 'true',
  retryAfter: headers['retry-after'] as string | undefined, // sent once
})
