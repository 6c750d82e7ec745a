import { failures, faults } from '../afilnet/faults.ts'
import { everyOperation, type Operation } from '../afilnet/operations.ts'
import { catalogue, type ProblemCode } from '../problem/catalogue.ts'
import { invalidParameter } from '../problem/invalid-request.ts'
import { unlistedCodeDetail } from '../problem/of-upstream.ts'
import { Problem, problemBody } from '../problem/problem.ts'

/** What the tables need to know of a route. */
export type DocumentedRoute = {
  method: string
  url: string
  scope: string
  operation?: Operation | undefined
  errors?: readonly ProblemCode[] | undefined
  revalidate?: true | undefined
}

/** What a problem looks like depends on what was asked: a read, `unread`, or a send, whose examples all have a key. */
type Kind = 'public' | 'read' | 'unread' | 'send'

function kindOf({ scope, operation }: DocumentedRoute): Kind {
  if (scope === 'public') return 'public'
  return operation?.kind === 'send' ? 'send' : operation?.safe === false ? 'unread' : 'read'
}

const always = ['request-timeout', 'uri-too-long', 'expectation-failed', 'headers-too-large', 'internal-error', 'draining'] as const

const alwaysPossible = new Set<ProblemCode>(always)

/** The errors that the tables of the operations leave out. */
export const commonErrors = (base: string) => always.map(code => `[${code}](${base}/problems/${code})`).join(', ')

/** Each error that a route can answer with. */
export function codesOf(route: DocumentedRoute): ProblemCode[] {
  const { method, url, scope, operation, errors = [] } = route
  const codes: ProblemCode[] = [...always, 'invalid-request']
  if (scope === 'public' && url.includes(':')) codes.push('not-found')
  if (scope !== 'public') codes.push('unauthenticated')
  if (scope !== 'public' && scope !== 'any-key') codes.push('insufficient-scope')
  if (scope !== 'public' && url.includes(':platform')) codes.push('chat-not-allowed')
  if (!url.startsWith('/health/')) codes.push('rate-limited')
  if (method === 'POST') codes.push('payload-too-large', 'unsupported-media-type')
  if (operation) codes.push(...upstreamCodes(operation))
  return [...new Set([...codes, ...errors])].sort((a, b) => catalogue[a].status - catalogue[b].status)
}

function upstreamCodes({ errors, kind }: Operation): ProblemCode[] {
  const documented = [...everyOperation, ...errors, 'NO_CREDITS', ...(kind === 'send' ? ['NO_ROUTE_AVAILABLE'] : [])]
  const possible = [...documented.map(code => faults[code as keyof typeof faults]), ...Object.values(failures)]
  return possible.map(({ code }) => code)
}

/** The errors of a route for a person, each with a link to its explanation. */
export function errorTable(route: DocumentedRoute, base: string) {
  const codes = codesOf(route).filter(code => !alwaysPossible.has(code))
  const byStatus = Object.groupBy(codes, code => catalogue[code].status)
  const rows = Object.entries(byStatus).map(([status, codes = []]) => {
    return `|${status}|${codes.map(code => `[${code}](${base}/problems/${code})`).join(', ')}|`
  })
  return ['|status|errors|', '|-|-|', ...rows].join('\n')
}

const sendId = '019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b'
const ids = { requestId: 'Xq3vT0c8Zk', instance: '0b0f3a3e-8a58-4a4d-9d2c-6f6c2f5f0f5b' }

/** A send gets its row before Afilnet is called. These are decided earlier. */
const beforeRow = new Set<ProblemCode>(['overloaded', 'upstream-circuit-open', 'payload-too-large'])
const ofRow = new Set<ProblemCode>(['idempotency-key-in-use', 'idempotency-key-reused', 'send-interrupted', 'internal-error'])

const unknownParameter = invalidParameter('query', 'limt', 'is not known; this operation takes no parameters')

/** The body of an error as the gateway sends it to such a request. */
export function exampleOf(code: ProblemCode, kind: Kind, base: string) {
  if (code === 'invalid-request' && kind !== 'public') {
    const invalid = kind === 'send' ? invalidParameter('header', 'idempotency-key', 'occurs 2 times; send it once') : unknownParameter
    return problemBody(invalid, { base, ...ids })
  }
  const [upstreamCode, fault] = Object.entries({ ...faults, ...failures }).find(([, fault]) => fault.code === code) ?? []
  const ofAfilnet = upstreamCode !== undefined && upstreamCode in faults
  const isUnknown =
    code === 'internal-error' || code === 'send-interrupted' || code === 'idempotency-key-in-use' || fault?.outcome === 'unknown'
  const hasRow = kind === 'send' && (ofRow.has(code) || (fault !== undefined && !beforeRow.has(code)))
  const pointer = fault && 'pointer' in fault ? fault.pointer : undefined
  const problem = new Problem(code, {
    outcome: (kind === 'send' || (kind === 'unread' && code !== 'internal-error')) && isUnknown ? 'unknown' : 'not_applied',
    keyed: kind === 'send',
    ...(ofAfilnet && { upstreamCode }),
    ...(code === 'upstream-unknown-error' && {
      upstreamCode: 'NOT_ACCESS_TO_TEMPLATE',
      detail: unlistedCodeDetail('NOT_ACCESS_TO_TEMPLATE'),
    }),
    ...(pointer !== undefined && { errors: [{ pointer, detail: 'refused by Afilnet' }] }),
    ...(hasRow && { sendId }),
  })
  return problemBody(problem, { base, ...ids })
}

const text = (description: string) => ({ schema: { type: 'string' }, description })
const ref = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })

/** The headers that a caller may go by. */
export const headers = {
  'X-Request-Id': text('The id of the request, also in the log. The gateway keeps one that you send if it matches `[A-Za-z0-9_-]{8,64}`.'),
  ETag: text('Names this state of the list; send it back in `If-None-Match`.'),
  Location: text('Where to ask what became of the send.'),
  'Idempotency-Replayed': text('`true`: this is the stored result of an earlier request with this key. Nothing was sent now.'),
  RateLimit: text('What is left, and the seconds until there is more: `"requests";r=0;t=42` (draft-ietf-httpapi-ratelimit-headers).'),
  'RateLimit-Policy': text('The limit: `"requests";q=600;w=60`. A key with a limit gets both headers with every answer.'),
  'WWW-Authenticate': text('`Bearer`'),
  'Retry-After': text('Seconds to wait before the next try.'),
}

export const headersOf = (names: (keyof typeof headers | false | undefined)[]) =>
  Object.fromEntries(names.filter(name => name !== false && name !== undefined).map(name => [name, ref('headers', name)]))

/** The components that the error responses of all routes share: each different answer once. */
export function createErrorResponses(base: string) {
  const responses: Record<string, object> = {}
  const examples: Record<string, object> = {}
  const names = new Map<string, string>()

  /** The error responses of a route, by status. */
  function responsesOf(route: DocumentedRoute): Record<string, object> {
    const byStatus = Object.groupBy(codesOf(route), code => catalogue[code].status)
    const described = Object.entries(byStatus).map(
      ([status, codes = []]) => [status, ref('responses', nameOf(status, codes, route))] as const,
    )
    return { ...Object.fromEntries(described), default: ref('responses', 'OtherProblem') }
  }

  function nameOf(status: string, codes: ProblemCode[], route: DocumentedRoute) {
    const kind = kindOf(route)
    const own = headersOf([
      codes.some(code => 'retry-after' in new Problem(code).headers) && 'Retry-After',
      kind === 'send' && /404|422|502|504/.test(status) && 'Idempotency-Replayed',
      status === '429' && 'RateLimit',
      status === '429' && 'RateLimit-Policy',
      status === '401' && 'WWW-Authenticate',
    ])
    const response = {
      description: codes.map(code => `\`${code}\``).join(', '),
      ...(Object.keys(own).length > 0 && { headers: own }),
      content: {
        'application/problem+json': {
          schema: ref('schemas', 'Problem'),
          examples: Object.fromEntries(codes.map(code => [code, ref('examples', exampleNameOf(code, kind))])),
        },
      },
    }
    const key = JSON.stringify(response)
    let name = names.get(key)
    if (name === undefined) {
      const variant = [...names.values()].filter(other => other.startsWith(`Problem${status}`)).length
      name = `Problem${status}${variant === 0 ? '' : String.fromCharCode(65 + variant)}`
      names.set(key, name)
      responses[name] = response
    }
    return name
  }

  function exampleNameOf(code: ProblemCode, kind: Kind) {
    const value = exampleOf(code, kind, base)
    const sameAsRead = JSON.stringify(value) === JSON.stringify(exampleOf(code, 'read', base))
    const name = sameAsRead ? code : `${code}-${kind}`
    examples[name] ??= { value }
    return name
  }

  responses.OtherProblem = {
    description: 'Any other error, now or in a later release. Decide on `code`, `outcome` and `retry`.',
    content: { 'application/problem+json': { schema: ref('schemas', 'Problem') } },
  }
  return { responses, examples, responsesOf }
}
