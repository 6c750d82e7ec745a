import type { Issue } from './config.ts'
import type { Environment } from './variables.ts'

/** Parts of Node that print what passes through them: headers, bodies, URLs. */
const printing = ['http', 'https', 'http2', 'net', 'tls', 'undici', 'fetch', 'websocket', 'stream']

/** Options of Node that open the memory of the process, print what passes through it, or turn checks off; also any longer name of the kind. */
const options =
  /^--(inspect|debug-port|insecure-http-parser|tls-keylog|trace-tls|tls-min-v1\.[01]|heapsnapshot|report-(on|uncaught)|abort-on-uncaught|trace-event|security-revert)/

/**
 * What in the process's surroundings would print or open what must stay secret, an issue for each switch that is on.
 *
 * Node acts on them before any code of the gateway runs, so all that the gateway can do is not to start.
 */
export function debugSwitches(environment: Environment, execArgv: readonly string[]): Issue[] {
  const parts = (environment.NODE_DEBUG ?? '').split(',').map(part => part.trim())
  const named = parts.filter(part => printing.some(name => wildcard(part).test(name)))
  const advice = 'remove it, or set ALLOW_DEBUG=true to start all the same'
  const found = (path: string, words: readonly string[]) => {
    const open = words.map(optionOf).filter(word => options.test(word))
    return open.map(option => ({ path, message: `${option} opens the process or turns off checks; ${advice}` }))
  }
  return [
    ...named.map(part => ({ path: 'NODE_DEBUG', message: `"${part}" prints credentials and messages; ${advice}` })),
    ...found('NODE_OPTIONS', wordsOf(environment.NODE_OPTIONS ?? '')),
    ...found('command line', execArgv),
  ]
}

/** As Node takes the variable apart: quotes may stand anywhere in a word, and only inside them a backslash means the next character. */
function wordsOf(options: string): string[] {
  const words = options.match(/(?:"(?:\\.|[^"\\])*"|[^ "])+/gs) ?? []
  return words.map(word => word.replace(/"((?:\\.|[^"\\])*)"/gs, (_, quoted: string) => quoted.replace(/\\(.)/gs, '$1')))
}

/** The option without its value, as Node reads it: underscores count as dashes. */
const optionOf = (word: string) => word.replace(/=.*$/s, '').replaceAll('_', '-')

const wildcard = (part: string) => new RegExp(`^${part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`, 'i')
