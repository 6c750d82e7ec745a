import { Client } from '../../afilnet/client.ts'
import { failures, faults, UpstreamError } from '../../afilnet/faults.ts'
import { createLargeResponseSlots } from '../../afilnet/large-responses.ts'
import { getChatChannels, getChats, getMessages, type Operation, type Params, type Row } from '../../afilnet/operations.ts'
import { PreparedTransports } from '../../afilnet/prepared-transports.ts'
import type { AccountConfig } from '../../config/account.ts'
import type { Config } from '../../config/config.ts'
import { adviceFor, contradiction, titleOf } from './advice.ts'
import type { Reading } from './clock.ts'
import { createRecorder, type RecordedCall } from './recorder.ts'
import type { Check } from './report.ts'
import { platformName } from './response-shape.ts'
import { describeToken, prepareTransport } from './transport.ts'
import { describeWire } from './wire.ts'

/** The doctor only reads. A send, or getunreadmessages, which may mark messages as read, does not compile. */
type SafeRead = Operation & { safe: true }

const section = 'afilnet'
const maxChannels = 4
const maxMs = 30_000

/** After these faults, further calls would show nothing new, or lock the account. */
const { unreachable, timeout, connectionLost, rateLimited } = failures
const finalFaults = new Set<unknown>([faults.INCORRECT_USER_PASSWORD, unreachable, timeout, connectionLost, rateLimited])

type AccountChecks = { checks: Check[]; readings: Reading[] }
type Limits = Pick<Config, 'timeoutMs' | 'maxResponseBytes' | 'proxyUrl'>

/** Reads the channels of an account, some conversations and the messages of one, and describes the responses. */
export async function checkAccount(account: string, config: AccountConfig, limits: Limits): Promise<AccountChecks> {
  const transports = new PreparedTransports(limits)
  const prepared = (await prepareTransport(transports, account, config)).map(line => ({ section, account, ...line }))
  if (prepared.some(({ verdict }) => verdict === 'broken')) return { checks: prepared, readings: [] }
  const { call, calls, readings, tokens, close } = openAccount(config, limits, transports)
  const ended = () => calls.some(({ error }) => finalFaults.has(error?.fault))
  const skipped: Check[] = []
  const skip = (check: string, why: string) => {
    const detail = `not called: ${calls.some(({ error }) => error) ? 'an earlier call failed' : why}`
    skipped.push({ section, account, check, verdict: 'skipped', detail })
  }

  try {
    const listed = await call(getChatChannels, {})
    const channels = onePerPlatform(listed)
    const chats: Params<typeof getMessages>[] = []
    for (const channel of channels) {
      if (ended()) break
      const rows = await call(getChats, channel, `getchats ${platformName(channel.platform)}`)
      chats.push(...rows.flatMap(({ destination }) => (destination ? [{ ...channel, destination }] : [])))
    }
    const [chat, ...others] = chats
    if (channels.length === 0)
      skip('getchats', listed.length === 0 ? 'the account has no channel' : 'no row of it has a platform and an id')
    if (chat && !ended()) await call(getMessages, chat)
    else skip('getmessages', 'the account has no conversation')
    // Events stand on what lists have in common, such as a limit.
    for (const other of config.events ? others.slice(0, 2) : []) if (!ended()) await call(getMessages, other)
  } finally {
    await close()
  }
  const results = calls.map(made => ({ section, account, ...resultOf(made) }))
  const received = tokens.map(line => ({ section, account, ...line }))
  return { checks: [...prepared, ...received, ...results, ...skipped, ...describeWire(account, calls, config)], readings }
}

/** The gateway's own client of an account, with a recorder. */
function openAccount(config: AccountConfig, limits: Limits, transports: PreparedTransports) {
  const timeoutMs = Math.min(limits.timeoutMs, maxMs)
  const { maxResponseBytes, proxyUrl } = limits
  const recorder = createRecorder()
  const tokens: ReturnType<typeof describeToken>[] = []
  const protocol = transports.open(config, report => tokens.push(describeToken(report)))
  const own = { connections: 1, lateMs: 0, largeResponseSlots: createLargeResponseSlots() }
  const client = new Client({ ...config, ...own, protocol, timeoutMs, maxResponseBytes, proxyUrl, watch: recorder.watch })
  const calls: RecordedCall[] = []
  const readings: Reading[] = []

  async function call<O extends SafeRead>(operation: O, params: Params<O>, check: string = operation.method): Promise<Row<O>[]> {
    const beganAt = performance.now()
    const startedAt = Date.now()
    const outcome = await client.call(operation, params, { caller: 'doctor', timeoutMs }).catch((error: unknown) => error)
    const response = recorder.take(protocol && (bytes => protocol.unwrap?.(operation, bytes) ?? bytes))
    const { date, age } = response?.headers ?? {}
    if (age === undefined) readings.push({ date, startedAt, endedAt: Date.now() }) // a cached response has an old date
    const made = { operation, params, check, ms: Math.round(performance.now() - beganAt), response }
    if (Array.isArray(outcome)) {
      calls.push({ ...made, rows: outcome })
      return outcome
    }
    if (!(outcome instanceof UpstreamError)) throw outcome
    calls.push({ ...made, error: outcome })
    return []
  }

  return { call, calls, readings, tokens, close: () => client.destroy() }
}

/** The first channel of each platform, four at most. */
function onePerPlatform(rows: Row<typeof getChatChannels>[]): Params<typeof getChats>[] {
  const usable = rows.flatMap(({ platform, platformid }) => (platform && platformid ? [{ platform, platformid }] : []))
  const first = new Map(usable.toReversed().map(channel => [channel.platform, channel]))
  return usable.filter(channel => first.get(channel.platform) === channel).slice(0, maxChannels)
}

function resultOf({ check, ms, response, rows, error }: RecordedCall): Omit<Check, 'section'> {
  const http = response?.status
  if (!error) {
    const count = rows?.length ?? 0
    return { check, verdict: 'ok', detail: `answered after ${ms} ms, rows: ${count}`, facts: { ms, http, rows: count } }
  }
  const { fault, upstreamCode } = error
  const contradicts = fault.side === 'caller'
  const parts = [http === undefined ? undefined : `HTTP ${http}`, upstreamCode].filter(Boolean).join(', ')
  return {
    check,
    verdict: contradicts || fault === rateLimited ? 'warning' : 'broken',
    detail: `${titleOf(fault)}${parts && ` (${parts})`}, after ${ms} ms`,
    todo: contradicts ? contradiction : adviceFor(fault.code),
    facts: { ms, http, fault: fault.code, code: upstreamCode },
  }
}
