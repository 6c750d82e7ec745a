import { catalogue, type ProblemCode } from '../problem/catalogue.ts'
import { codesOf, type DocumentedRoute, type Kind, kindOf, statusOf, undeclared } from './openapi-errors.ts'
import { exampleOf } from './openapi-examples.ts'
import { type Examples, nextName } from './openapi-sharing.ts'

const text = (description: string) => ({ schema: { type: 'string' }, description })
const ref = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` })

/** The headers that a caller may go by. */
export const headers = {
  ETag: text('Names this state of the list; send it back in `If-None-Match`.'),
  Location: text('Where to ask what became of the send.'),
  'Idempotency-Replayed': text('`true`: the stored result of an earlier request with this key; nothing was sent now.'),
  'Preference-Applied': text('`respond-async`'),
  RateLimit: text('What is left, and the seconds until there is more: `"requests";r=0;t=42` (draft-ietf-httpapi-ratelimit-headers).'),
  'RateLimit-Policy': text('The limit: `"requests";q=600;w=60`. A key with a limit per minute gets both with every answer.'),
  'WWW-Authenticate': text('`Bearer`'),
  'Retry-After': text('Seconds to wait.'),
}

export const headersOf = (names: (keyof typeof headers | false | undefined)[]) =>
  Object.fromEntries(names.filter(name => name !== false && name !== undefined).map(name => [name, ref('headers', name)]))

/** The statuses that most operations have. */
const common = /^(40[0134]|413|415|429)$/

/** Of several errors of one status, the one that tells most. */
const first = new Set<ProblemCode>(['file-url-rejected', 'idempotency-key-reused', 'upstream-connection-lost', 'upstream-unreachable'])

/** The error that a response shows. Operations that send nothing show those of common statuses, if the example is the same for all of them. */
function telling(status: string, codes: ProblemCode[], kind: Kind): ProblemCode | undefined {
  const code = codes.find(code => first.has(code)) ?? codes[0]
  if (code === undefined || status === '507') return undefined
  if (kind === 'send') return code
  const [own, ...others] = ([kind, 'read', 'send'] as const).map(kind => JSON.stringify(exampleOf(code, kind, '')))
  return common.test(status) && others.every(other => other === own) ? code : undefined
}

/** The components that the error responses of all routes share: each different answer once, with one example. */
export function createErrorResponses(base: string) {
  const responses: Record<string, object> = {
    Other: {
      description: `Any other error, now or in a later release: ${named(undeclared)}.`,
      content: { 'application/problem+json': { schema: ref('schemas', 'Problem') } },
    },
  }
  const examples: Examples = {}
  const names = new Map<string, string>()

  /** The error responses of a route, by status. */
  function responsesOf(route: DocumentedRoute): Record<string, object> {
    const byStatus = Object.groupBy(codesOf(route), code => statusOf(code, route))
    const described = Object.entries(byStatus).map(
      ([status, codes = []]) => [status, ref('responses', nameOf(status, codes, kindOf(route)))] as const,
    )
    return { ...Object.fromEntries(described), default: ref('responses', 'Other') }
  }

  function nameOf(status: string, codes: ProblemCode[], kind: Kind) {
    const own = headersOf([
      codes.some(code => 'retryAfterS' in catalogue[code]) && 'Retry-After',
      kind === 'send' && /404|422|502|504/.test(status) && 'Idempotency-Replayed',
      status === '429' && 'RateLimit',
      status === '429' && 'RateLimit-Policy',
      status === '401' && 'WWW-Authenticate',
    ])
    const example = telling(status, codes, kind)
    const response = {
      description: named(codes),
      ...(Object.keys(own).length > 0 && { headers: own }),
      content: {
        'application/problem+json': {
          schema: ref('schemas', 'Problem'),
          ...(example && { examples: { [example]: ref('examples', exampleNameOf(example, kind)) } }),
        },
      },
    }
    const key = JSON.stringify(response)
    let name = names.get(key)
    if (name === undefined) {
      name = nextName(`E${status}`, [...names.values()])
      names.set(key, name)
      responses[name] = response
    }
    return name
  }

  /** Kinds of operations whose error looks the same share its example. */
  function exampleNameOf(code: ProblemCode, kind: Kind) {
    const value = exampleOf(code, kind, base)
    const name = JSON.stringify(value) === JSON.stringify(exampleOf(code, 'read', base)) ? code : `${code}-${kind}`
    examples[name] ??= { value }
    return name
  }

  return { responses, examples, responsesOf }
}

const named = (codes: readonly ProblemCode[]) => codes.map(code => `\`${code}\``).join(', ')
