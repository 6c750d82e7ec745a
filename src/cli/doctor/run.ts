import type { Config } from '../../config/config.ts'
import type { Environment } from '../../config/variables.ts'
import { examineAccount } from './afilnet.ts'
import { checkClock } from './clock.ts'
import { checkConfiguration, checkModes, secretFiles } from './configuration.ts'
import { checkNetwork } from './network.ts'
import type { Check } from './report.ts'
import { checkStore } from './store.ts'

const unexamined: Check = {
  section: 'afilnet',
  check: 'not examined',
  verdict: 'skipped',
  detail:
    'whether getunreadmessages marks as read, what a send answers (asking would change something); limits of texts, files and rates (only overstepping shows them); SOAP and OAuth (nothing of them is public)',
}

/** Every check there is, in the order of the report; one that fails does not keep the others from running. */
export async function examine(environment: Environment): Promise<Check[]> {
  const { config, checks } = checkConfiguration(environment)
  const modes = checkModes(secretFiles(environment, config))
  if (config) return [...checks, ...modes, ...(await examineAround(config)), unexamined]
  const needing = ['store', 'network', 'clock', 'afilnet']
  const detail = 'not checked: it needs a valid configuration'
  return [...checks, ...modes, ...needing.map((section): Check => ({ section, check: section, verdict: 'skipped', detail })), unexamined]
}

async function examineAround(config: Config): Promise<Check[]> {
  const accounts = Object.entries(config.accounts)
  const urls = accounts.map(([, { url }]) => url)
  const [store, network, examined] = await Promise.all([
    checkStore(config).catch(stumbled('store')),
    checkNetwork(urls, config.timeoutMs).catch(stumbled('network')),
    Promise.all(
      accounts.map(([account, own]) =>
        examineAccount(account, own, config).catch(error => ({ checks: stumbled('afilnet', account)(error), readings: [] })),
      ),
    ),
  ])
  const clock = checkClock(examined.flatMap(({ readings }) => readings))
  return [...store, ...network, clock, ...examined.flatMap(({ checks }) => checks)]
}

/** A fault of the doctor's own; its message could hold what must not be told. */
const stumbled =
  (section: string, account?: string) =>
  (error: unknown): Check[] => [
    {
      section,
      ...(account !== undefined && { account }),
      check: section,
      verdict: 'broken',
      detail: `could not be checked: a fault of the doctor itself (${error instanceof Error ? error.name : typeof error})`,
      todo: 'Report this with the output of --json',
    },
  ]
