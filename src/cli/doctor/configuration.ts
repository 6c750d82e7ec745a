import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { canReadBack } from '../../config/account.ts'
import { type Config, ConfigError, readConfig } from '../../config/config.ts'
import { type Environment, Variables } from '../../config/variables.ts'
import { type Check, daysUntil, soonDays } from './report.ts'

const section = 'configuration'

/** Reads the configuration and reports every issue in it. */
export function checkConfiguration(environment: Environment): { config?: Config; checks: Check[] } {
  try {
    const config = readConfig(environment)
    const facts = { accounts: Object.keys(config.accounts).length, callers: Object.keys(config.callers).length }
    const detail = `complete and valid; accounts: ${facts.accounts}, callers: ${facts.callers}`
    return {
      config,
      checks: [
        { section, check: 'values', verdict: 'ok', detail, facts },
        ...Object.entries(config.accounts).flatMap(checkTransport),
        ...Object.entries(config.accounts).map(([account, own]) => checkReadBack(account, own, config)),
        ...Object.entries(config.callers).flatMap(checkExpiry),
      ],
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const todo = 'Correct it: the gateway does not start with it. .env.example explains every variable'
    return { checks: error.issues.map(({ path, message }) => ({ section, check: path, verdict: 'broken', detail: message, todo })) }
  }
}

function checkTransport([account, { transport }]: [string, Config['accounts'][string]]): Check[] {
  const named = { section, account, check: 'transport' }
  if (transport === 'json' || transport === 'soap') {
    const detail = `the transport ${transport} was built on its standard and never tested against the real Afilnet`
    return [{ ...named, verdict: 'note', detail }]
  }
  if (transport !== 'get') return []
  const detail = 'the transport get puts the password into the URL of every call, where proxies log it'
  return [{ ...named, verdict: 'warning', detail, todo: 'Use post or basic' }]
}

function checkReadBack(account: string, own: Config['accounts'][string], { readBack }: Config): Check {
  const named = { section, account, check: 'read-back', facts: { configured: readBack, possible: canReadBack(own) } }
  if (!readBack) return { ...named, verdict: 'note', detail: 'off by READ_BACK: an unknown send stays unknown until a person settles it' }
  if (own.sent === 'ignore')
    return { ...named, verdict: 'note', detail: 'off by AFILNET_SENT=ignore (account: sent): no row is known to be yours' }
  if (canReadBack(own)) return { ...named, verdict: 'ok', detail: 'an unknown send is looked for in its conversation' }
  const detail = 'off: without a time zone or events, no row of a conversation proves that it came after a send'
  const todo = 'Set AFILNET_TIMEZONE (account: timezone) once you know it, or watch the channels (events)'
  return { ...named, verdict: 'note', detail, todo }
}

/** Expired keys get 401 without a line in the log, so the doctor warns before. */
function checkExpiry([caller, { expires, disabled }]: [string, Config['callers'][string]]): Check[] {
  if (expires === undefined || disabled) return []
  const daysLeft = daysUntil(expires)
  if (daysLeft >= soonDays) return []
  const detail = `the keys of caller ${caller} ${daysLeft < 0 ? 'have expired' : `expire in ${daysLeft} days`}`
  const todo = 'Set a later `expires`, or give the caller new keys. Set `disabled` if it should stay refused'
  return [{ section, check: 'expiry', verdict: 'warning', detail, todo, facts: { caller, daysLeft } }]
}

/** The files with secrets: those that the configuration read, or, if it is not valid, those that the environment names. */
export function secretFiles(environment: Environment, config: Config | undefined): string[] {
  if (config) {
    const open = [environment.GATEWAY_CONFIG, ...Object.values(config.accounts).map(({ wsdl }) => wsdl?.pathname)] // these contain no secret
    return Object.keys(config.files).filter(path => !open.some(one => one !== undefined && resolve(one) === resolve(path)))
  }
  const secrets = Object.entries(Variables.properties).filter(([, schema]) => 'secret' in schema)
  return secrets.flatMap(([name]) => environment[`${name}_FILE`] || [])
}

/**
 * Whether every user of this machine can read a secret.
 *
 * Skips a path without a file: the configuration reports it, and the path may be a secret in the wrong variable.
 */
export function checkModes(paths: readonly string[]): Check[] {
  const checks = paths.flatMap((path): Check[] => {
    const mode = modeOf(path)
    if (mode === undefined) return []
    const shown = mode.toString(8).padStart(4, '0')
    const found = { section: 'secrets', check: 'file mode', facts: { path, mode: shown } }
    if ((mode & 0o007) === 0) return [{ ...found, verdict: 'ok', detail: `${path} has ${shown}` }]
    const todo = `chmod o-rwx ${quoted(path)} (Kubernetes: defaultMode 0440 with an fsGroup)`
    return [{ ...found, verdict: 'warning', detail: `${path} has ${shown}: every user of this machine can read or change it`, todo }]
  })
  return checks.length > 0 ? checks : [{ section: 'secrets', check: 'file mode', verdict: 'ok', detail: 'no secret comes from a file' }]
}

function modeOf(path: string): number | undefined {
  try {
    const stat = statSync(path)
    return stat.isFile() ? stat.mode & 0o777 : undefined
  } catch {
    return undefined
  }
}

const quoted = (path: string) => (/^[\w./:@+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)
