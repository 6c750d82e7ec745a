import type { SendRow, StorePolicy } from '../../store/store.ts'
import { countEvents } from './events.ts'
import { CommandError, type Ledger, type Print, pagesOf } from './ledger.ts'
import { copyMedia } from './media.ts'

type Policy = Pick<StorePolicy, 'keepMs' | 'keepUnknownMs'>
type Counts = { updated: number; held: number; since: number }

/**
 * Copies every send of one ledger into another, with the secret that its keys need, and reads the copy back.
 *
 * Events stay behind: a log of another ledger has another identity, so every consumer learns by a `gap` that it must read again.
 * Sends that are there already stay as they are, except that those which settled since are settled: it can be run again after any failure.
 */
export async function copy(source: Ledger, target: Ledger, policy: Policy, print: Print): Promise<boolean> {
  const secret = await source.secret().catch(source.fail)
  if (!(await target.adopt(secret).catch(target.fail)))
    throw new CommandError('TO has a secret of its own, so it could not recognize repeated requests of FROM. Copy to an empty ledger')
  const recently = Date.now() - 60_000 // a claim waits for seconds, and clocks differ
  let [read, copied, pending, queued] = [0, 0, 0, 0]
  for await (const page of pagesOf(source)) {
    read += page.length
    pending += page.filter(({ state }) => state === 'pending').length
    const moving = page.filter(({ state }) => state !== 'queued')
    queued += page.length - moving.length
    copied += await target.load(moving).catch(target.fail)
  }
  const webhooks = await copyWebhooks(source, target)
  const left = await countEvents(source)
  const files = await copyMedia(source, target)
  const { updated, held, since } = await compare(source, target, { ...policy, recently })
  await print(`read      ${read}
copied    ${copied}
left out  ${read - copied - held - queued} that TO had already
          ${queued} that are queued: both ledgers would send them
          ${held} whose key another send holds in TO
settled   ${updated} that were copied before they had settled
${webhooks > 0 ? `webhooks  ${webhooks} and what they failed to deliver\n` : ''}${files > 0 ? `files     ${files}; their bytes stay in MEDIA_STORE\n` : ''}`)
  if (left)
    await print(
      `events    ${left.events} left out: with TO, each consumer and webhook gets one gap (log-replaced) and reads its conversations again\n`,
    )
  if (pending + since > 0)
    await print(`
Warning: ${pending} sends of FROM are pending, and ${since} were added while it was read. If a gateway still runs with FROM, stop it and
copy again before you start one with TO. Sends that a killed gateway left pending become unknown once a gateway runs with TO.
`)
  await print('\nTO is complete if no gateway has written to FROM meanwhile. From now on, run gateways with TO only.\n')
  return true
}

/** How far each webhook has come, and what it failed to deliver; what TO knows already stays. */
async function copyWebhooks(source: Ledger, target: Ledger): Promise<number> {
  let copied = 0
  for (const webhook of await source.deliveries.dumpWebhooks().catch(source.fail))
    copied += Number(await target.deliveries.loadWebhook(webhook).catch(target.fail))
  return copied
}

/** Reads both in order of id, settles in the copy what has settled since, and counts why sends are missing there. */
async function compare(source: Ledger, target: Ledger, policy: Policy & { recently: number }): Promise<Counts> {
  const found = { updated: 0, held: 0, since: 0 }
  const theirs = rowsOf(target)
  let there = await theirs.next()
  let lost = 0
  for await (const page of pagesOf(source)) {
    for (const row of page) {
      while (!there.done && there.value.id < row.id) there = await theirs.next()
      if (row.state === 'queued') continue
      if (there.value?.id === row.id) found.updated += await update(target, row, there.value)
      else if (await isHeld(target, row)) found.held++
      else if (row.createdAt >= policy.recently) found.since++
      else if (!isExpired(row, policy)) lost++
    }
  }
  if (lost > 0) throw new CommandError(`TO lacks sends of FROM: ${lost}. Stop every gateway and copy again`)
  return found
}

async function* rowsOf(target: Ledger): AsyncGenerator<SendRow, undefined> {
  for await (const page of pagesOf(target)) yield* page
}

async function update(target: Ledger, row: SendRow, there: SendRow) {
  const { state, settledAt, answer = '', settledBy, note } = row
  if (state === 'pending' || state === 'queued' || state === there.state || settledAt === undefined) return 0
  const outcome = { state, settledAt, answer, ...(settledBy !== undefined && { settledBy }), ...(note !== undefined && { note }) }
  // Only an unknown send can be settled by a person or by the search for its message: it has become unknown since the first copy.
  const wasUnknown = settledBy === 'caller' || settledBy === 'read-back'
  if (wasUnknown && there.state === 'pending') await target.settle(row, { state: 'unknown', settledAt, answer }).catch(target.fail)
  const { settled } = await target.settle(row, outcome).catch(target.fail)
  return Number(settled)
}

async function isHeld(target: Ledger, row: SendRow) {
  const { idempotencyKey, state } = row
  if (idempotencyKey === undefined || state === 'not_sent') return false
  const rows = await target.list(row, { idempotencyKey, limit: 100 }).catch(target.fail)
  return rows.some(({ state }) => state !== 'not_sent')
}

const isExpired = ({ state, settledAt }: SendRow, { keepMs, keepUnknownMs }: Policy) =>
  settledAt !== undefined && settledAt <= Date.now() - (state === 'unknown' ? keepUnknownMs : keepMs)
