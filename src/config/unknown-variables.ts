import { closestWord } from '../lib/closest-word.ts'
import { type Environment, Variables } from './variables.ts'

const names = Object.entries(Variables.properties).flatMap(([name, schema]) => ('secret' in schema ? [name, `${name}_FILE`] : [name]))
const known = new Set(names)

/** Warnings about variables that the gateway does not read; `used` are names that the configuration file reads. */
export function warningsOfEnvironment(environment: Environment, used: readonly string[]): string[] {
  const unknown = Object.keys(environment).filter(name => environment[name] && !known.has(name) && !used.includes(name))
  const proxy = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'].find(name => environment[name])
  return [
    ...unknown.flatMap(name => {
      const meant = likelyName(name)
      return meant === undefined ? [] : [`${name} is not a variable of the gateway; did you mean ${meant}?`]
    }),
    ...(proxy !== undefined && !environment.AFILNET_PROXY && !environment.AFILNET_PROXY_FILE
      ? [`${proxy} is set, but the gateway does not use it: set AFILNET_PROXY, or AFILNET_PROXY=direct for no proxy`]
      : []),
  ]
}

/** The variable that was probably meant: with other letters, or shortened or extended by words. */
function likelyName(name: string): string | undefined {
  // Kubernetes sets such variables for each service, as in GATEWAY_PORT_3000_TCP.
  if (/_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP)|$)/.test(name)) return closestWord(name, names)
  const upper = name.toUpperCase()
  const isSame = (candidate: string) => upper === candidate || upper === `${candidate}_FILE`
  const isShortened = (candidate: string) => upper.includes('_') && candidate.startsWith(`${upper}_`)
  const isExtended = (candidate: string) => candidate.includes('_') && upper.startsWith(candidate)
  return names.find(isSame) ?? closestWord(name, names) ?? names.find(isShortened) ?? names.findLast(isExtended)
}
