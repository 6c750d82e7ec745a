import type { FastifyInstance } from 'fastify'
import { Problem } from '../problem/problem.ts'
import type { Check } from './request-steps.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Methods and patterns of all routes. */
    routes: { method: string; url: string }[]
    /** The methods of a request target, as `Allow` has them; none if no route matches its path. */
    allowedMethods(target: string): string | undefined
  }
}

/** Refuses unknown paths with 404 and other methods of known paths with 405: Fastify answers 404 to both. */
export function createRouteCheck(app: FastifyInstance): Check {
  app.decorate('routes', [])
  app.addHook('onRoute', ({ method, url }) => void app.routes.push(...[method].flat().map(method => ({ method, url }))))
  app.decorate('allowedMethods', (target: string) => {
    const segments = pathOf(target)?.split('/') ?? []
    const found = app.routes.find(({ url }) => matches(url.split('/'), segments))
    const methods = app.routes.filter(({ url }) => url === found?.url).map(({ method }) => method)
    return found && methods.sort().join(', ')
  })
  return request => {
    if (!request.is404) return undefined
    const { url = '' } = request.raw
    if (pathOf(url) === undefined) return new Problem('invalid-request')
    const allow = app.allowedMethods(url)
    return allow === undefined ? new Problem('not-found') : new Problem('method-not-allowed', { headers: { allow } })
  }
}

function matches(pattern: readonly string[], segments: readonly string[]) {
  const isOpen = pattern.at(-1) === '*'
  return (
    (isOpen ? pattern.length <= segments.length : pattern.length === segments.length) &&
    pattern.every((part, i) => part === '*' || part.startsWith(':') || part === segments[i])
  )
}

/** The path of a target as the router reads it: no origin, no query, decoded except for separators; `undefined` if it cannot be decoded. */
function pathOf(target: string): string | undefined {
  const [path = ''] = target.replace(/^https?:\/\/[^/]*/i, '').split(/[?#]/, 1)
  try {
    return decodeURI(path)
  } catch {
    return undefined
  }
}
