import type { Config } from '../../config/config.ts'
import type { Environment } from '../../config/variables.ts'
import { checkAccount } from './afilnet.ts'
import { checkClock } from './clock.ts'
import { checkConfiguration, checkModes, secretFiles } from './configuration.ts'
import { checkGateway } from './gateway.ts'
import { checkMediaUrl } from './media.ts'
import { checkNetwork } from './network.ts'
import type { Check } from './report.ts'
import { checkStore } from './store.ts'

const unchecked: Check = {
  section: 'afilnet',
  check: 'not checked',
  verdict: 'skipped',
  detail:
    'whether getunreadmessages marks messages as read, and the response to a send (such a call changes something); limits of texts, files and rates (only exceeding them shows them)',
}

/** Runs every check, in the order of the report. A check that fails does not stop the others. */
export async function runChecks(environment: Environment): Promise<Check[]> {
  const { config, checks } = checkConfiguration(environment)
  const modes = checkModes(secretFiles(environment, config))
  if (config) return [...checkMediaUrl(config), ...checks, ...modes, ...(await checkSurroundings(config)), unchecked]
  const dependent = ['store', 'network', 'clock', 'afilnet']
  const detail = 'not checked: this needs a valid configuration'
  return [...checks, ...modes, ...dependent.map((section): Check => ({ section, check: section, verdict: 'skipped', detail })), unchecked]
}

async function checkSurroundings(config: Config): Promise<Check[]> {
  const accounts = Object.entries(config.accounts)
  const urls = accounts
    .flatMap(([, { url, tokenUrl }]) => [url, ...(tokenUrl ? [tokenUrl] : [])])
    .filter(({ protocol }) => protocol !== 'file:')
  const [store, gateway, network, checked] = await Promise.all([
    checkStore(config).catch(internalFault('store')),
    checkGateway(config),
    checkNetwork(urls, config.timeoutMs, config.proxyUrl).catch(internalFault('network')),
    Promise.all(
      accounts.map(([account, own]) =>
        checkAccount(account, own, config).catch(error => ({ checks: internalFault('afilnet', account)(error), readings: [] })),
      ),
    ),
  ])
  const clock = checkClock(checked.flatMap(({ readings }) => readings))
  return [...store, gateway, ...network, clock, ...checked.flatMap(({ checks }) => checks)]
}

/** An error of the doctor itself, without its message, which may contain anything. */
const internalFault =
  (section: string, account?: string) =>
  (error: unknown): Check[] => {
    const detail = `could not be checked: internal error of the doctor (${error instanceof Error ? error.name : typeof error})`
    const named = { section, ...(account !== undefined && { account }), check: section }
    return [{ ...named, verdict: 'broken', detail, todo: 'Report this with the output of --json' }]
  }
