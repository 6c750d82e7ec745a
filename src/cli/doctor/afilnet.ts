import { createClient, createLargeAnswers } from '../../afilnet/client.ts'
import { failures, faults, UpstreamError } from '../../afilnet/faults.ts'
import { getChatChannels, getChats, getMessages, type Operation, type Params, type Row } from '../../afilnet/operations.ts'
import { platformName } from '../../afilnet/response-shape.ts'
import type { AccountConfig } from '../../config/accounts.ts'
import type { Config } from '../../config/config.ts'
import { catalogue, type ProblemCode } from '../../problem/catalogue.ts'
import type { Reading } from './clock.ts'
import { type Asked, createTape } from './recorder.ts'
import type { Check } from './report.ts'
import { describeWire } from './wire.ts'

/** The doctor only reads: a send, or getunreadmessages, which may mark as read what it returns, does not compile. */
type SafeRead = Operation & { safe: true }

const section = 'afilnet'
const mostChannels = 4
const mostMs = 30_000

/** After these, asking on would tell nothing more, or lock the account. */
const endings = new Set<unknown>([
  faults.INCORRECT_USER_PASSWORD,
  failures.unreachable,
  failures.timeout,
  failures.connectionLost,
  failures.rateLimited,
])

/** What the operator can do, by the code that callers get. */
const remedies: Record<string, string> = {
  'upstream-credentials-rejected': 'Correct user and password of this account; it was asked once only, so as not to lock it',
  'upstream-contract-mismatch': 'Report this with the output of --json: Afilnet and its manual disagree',
  'upstream-out-of-credit': 'Top up the account at Afilnet',
  'upstream-unknown-error': 'Ask Afilnet what it means, and report it with the output of --json',
  'upstream-redirect': 'Correct the URL: redirects are never followed, since they would carry the password along',
  'upstream-error': 'Check the URL; if it is right, Afilnet is out of order',
  'upstream-invalid-response': 'Check the URL, and whether something answers in between; if not, report this with the output of --json',
  'upstream-response-too-large': 'Raise AFILNET_MAX_RESPONSE_BYTES',
  'upstream-rate-limited': 'Wait, and ask Afilnet for its limits',
  'upstream-unreachable': 'See DNS and TLS above; check whether a firewall lets this machine out',
  'upstream-timeout': 'Raise AFILNET_TIMEOUT_MS, or wait until Afilnet is well again',
  'upstream-connection-lost': 'Try again; if it stays so, something in between cuts connections, or Afilnet is out of order',
}
const contradiction = 'Report this with the output of --json: Afilnet refuses what its own list names'

type Limits = Pick<Config, 'timeoutMs' | 'maxResponseBytes'>

/** Asks one account for its channels, some conversations and the messages of one, and looks at the answers. */
export async function examineAccount(
  account: string,
  config: AccountConfig,
  limits: Limits,
): Promise<{ checks: Check[]; readings: Reading[] }> {
  const { ask, asked, readings, close } = openAccount(config, limits)
  const over = () => asked.some(({ error }) => endings.has(error?.fault))
  const skipped: Check[] = []
  const skip = (check: string, why: string) => {
    const detail = `not asked: ${asked.some(({ error }) => error) ? 'see above' : why}`
    skipped.push({ section, account, check, verdict: 'skipped', detail })
  }

  try {
    const listed = await ask(getChatChannels, {})
    const channels = onePerPlatform(listed)
    const chats: Params<typeof getMessages>[] = []
    for (const channel of channels) {
      if (over()) break
      const rows = await ask(getChats, channel, `getchats ${platformName(channel.platform)}`)
      chats.push(...rows.flatMap(({ destination }) => (destination ? [{ ...channel, destination }] : [])))
    }
    const [chat] = chats
    if (channels.length === 0) skip('getchats', listed.length === 0 ? 'the account has no channel' : 'no row names a platform and its id')
    if (chat && !over()) await ask(getMessages, chat)
    else skip('getmessages', 'no conversation was found')
  } finally {
    await close()
  }
  const calls = asked.map(call => ({ section, account, ...verdictOn(call) }))
  return { checks: [...calls, ...skipped, ...describeWire(account, asked, config.timezone)], readings }
}

/** The gateway's own client of an account, with a tape beside it. */
function openAccount(config: AccountConfig, limits: Limits) {
  const timeoutMs = Math.min(limits.timeoutMs, mostMs)
  const { maxResponseBytes } = limits
  const tape = createTape()
  const largeAnswers = createLargeAnswers()
  const client = createClient({ ...config, connections: 1, timeoutMs, lateMs: 0, maxResponseBytes, largeAnswers, watch: tape.watch })
  const asked: Asked[] = []
  const readings: Reading[] = []

  async function ask<O extends SafeRead>(operation: O, params: Params<O>, check: string = operation.method): Promise<Row<O>[]> {
    const began = performance.now()
    const startedAt = Date.now()
    const outcome = await client.call(operation, params, { caller: 'doctor', timeoutMs }).catch((error: unknown) => error)
    const answer = tape.take()
    const { date, age } = answer?.headers ?? {}
    if (age === undefined) readings.push({ date, startedAt, endedAt: Date.now() }) // an answer out of a cache tells an old time
    const call = { operation, check, ms: Math.round(performance.now() - began), answer }
    if (Array.isArray(outcome)) {
      asked.push({ ...call, rows: outcome })
      return outcome
    }
    if (!(outcome instanceof UpstreamError)) throw outcome
    asked.push({ ...call, error: outcome })
    return []
  }

  return { ask, asked, readings, close: () => client.destroy() }
}

/** The first channel of each platform that can be asked about. */
function onePerPlatform(rows: Row<typeof getChatChannels>[]): Params<typeof getChats>[] {
  const usable = rows.flatMap(({ platform, platformid }) => (platform && platformid ? [{ platform, platformid }] : []))
  const first = new Map(usable.toReversed().map(channel => [channel.platform, channel]))
  return usable.filter(channel => first.get(channel.platform) === channel).slice(0, mostChannels)
}

function verdictOn({ check, ms, answer, rows, error }: Asked): Omit<Check, 'section'> {
  const http = answer?.status
  if (!error) {
    const count = rows?.length ?? 0
    return { check, verdict: 'ok', detail: `answered after ${ms} ms; rows read: ${count}`, facts: { ms, http, rows: count } }
  }
  const { fault, upstreamCode } = error
  const caused = fault.side === 'caller'
  const { title } = catalogue[fault.code as ProblemCode] // every fault has a row there, as a test of theirs says
  const said = [http === undefined ? undefined : `HTTP ${http}`, upstreamCode].filter(Boolean).join(', ')
  return {
    check,
    verdict: caused || fault === failures.rateLimited ? 'warning' : 'broken',
    detail: `${title}${said && ` (${said})`}, after ${ms} ms`,
    todo: caused ? contradiction : (remedies[fault.code] ?? remedies['upstream-unknown-error'] ?? ''),
    facts: { ms, http, fault: fault.code, code: upstreamCode },
  }
}
