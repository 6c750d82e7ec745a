import type { FastifyContextConfig } from 'fastify'
import { failures, faults } from '../afilnet/faults.ts'
import { everyOperation } from '../afilnet/operations.ts'
import { catalogue, type ProblemCode } from '../problem/catalogue.ts'

/** A route with what it declares. */
export type DocumentedRoute = FastifyContextConfig & { method: string; url: string; scope: string }

/** What a problem looks like depends on what was asked: a read, `unread`, or a send, whose examples all have a key. */
export type Kind = 'read' | 'unread' | 'send'

export const kindOf = ({ operation }: DocumentedRoute): Kind =>
  operation?.kind === 'send' ? 'send' : operation?.safe === false ? 'unread' : 'read'

/** What any request can get, and no operation lists: the response `default` says it. */
export const undeclared = ['request-timeout', 'uri-too-long', 'expectation-failed', 'headers-too-large', 'internal-error'] as const

/** The status of an error; a file that a send names is a part of its body. */
export const statusOf = (code: ProblemCode, { operation }: Pick<DocumentedRoute, 'operation'>) =>
  code === 'media-not-found' && operation ? 422 : catalogue[code].status

const codesOfFaults = (names: readonly string[]): ProblemCode[] => names.map(name => faults[name as keyof typeof faults].code)

/** What any call to Afilnet can end with. */
const anyCall = [
  ...new Set<ProblemCode>([...codesOfFaults([...everyOperation, 'NO_CREDITS']), ...Object.values(failures).map(({ code }) => code)]),
]

const links = (codes: readonly ProblemCode[], base: string) => codes.map(code => `[${code}](${base}/problems/${code})`).join(', ')

/** What any request can get, with its explanations, for the first screen of the document. */
export const undeclaredErrors = (base: string) => links(undeclared, base)

/** Each error that a route can answer with, but for the undeclared. */
export function codesOf(route: DocumentedRoute): ProblemCode[] {
  const { method, url, scope, operation, callsAfilnet, errors = [], whileDraining } = route
  const codes: ProblemCode[] = ['invalid-request']
  if (!whileDraining) codes.push('draining')
  if (scope === 'public' && url.includes(':')) codes.push('not-found')
  if (scope !== 'public') codes.push('unauthenticated')
  if (scope !== 'public' && scope !== 'any-key') codes.push('insufficient-scope')
  if (scope !== 'public' && url.includes(':platform')) codes.push('chat-not-allowed')
  if (!url.startsWith('/health/')) codes.push('rate-limited')
  if (method === 'POST') codes.push('payload-too-large', 'unsupported-media-type')
  if (operation || callsAfilnet) codes.push(...anyCall, ...codesOfFaults(operation?.errors ?? []))
  if (operation?.kind === 'send') codes.push(...codesOfFaults(['NO_ROUTE_AVAILABLE']))
  return [...new Set([...codes, ...errors])].sort((a, b) => statusOf(a, route) - statusOf(b, route))
}

/**
 * Every error of a route for a person, each with a link to its explanation, but for those of the response `default`.
 * A status of which the route has an answer of its own is no error.
 */
export function errorTable(route: DocumentedRoute, answers: object, base: string) {
  const byStatus = Object.groupBy(codesOf(route), code => statusOf(code, route))
  const rows = Object.entries(byStatus).flatMap(([status, codes = []]) => (status in answers ? [] : `|${status}|${links(codes, base)}|`))
  return ['|status|errors|', '|-|-|', ...rows].join('\n')
}
