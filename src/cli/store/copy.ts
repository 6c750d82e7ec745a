import type { SendRow, StorePolicy } from '../../store/store.ts'
import { CommandError, type Ledger, type Print, pagesOf } from './ledger.ts'

type Policy = Pick<StorePolicy, 'keepMs' | 'keepUnknownMs'>
type Counts = { updated: number; held: number; since: number }

/**
 * Takes every send of one ledger over into another, with the secret that its keys need, and reads back whether they are there.
 *
 * What was taken over before is left as it is, but for sends that have settled since: so it can be run again after anything.
 */
export async function copy(source: Ledger, target: Ledger, policy: Policy, print: Print): Promise<boolean> {
  const secret = await source.secret().catch(source.blame)
  if (!(await target.adopt(secret).catch(target.blame)))
    throw new CommandError('TO has a secret of its own, so keys of FROM would mean nothing there: copy to an empty ledger')
  const recently = Date.now() - 60_000 // a claim waits for seconds, and clocks differ
  let [read, taken, pending] = [0, 0, 0]
  for await (const page of pagesOf(after => source.dump(after).catch(source.blame))) {
    read += page.length
    pending += page.filter(({ state }) => state === 'pending').length
    taken += await target.load(page).catch(target.blame)
  }
  const { updated, held, since } = await compare(source, target, { ...policy, recently })
  await print(`read      ${read}
taken     ${taken}
left out  ${read - taken - held}, TO had them already
          ${held}, another send holds their key in TO
settled   ${updated}, since an earlier copy
`)
  if (pending + since > 0)
    await print(`
Warning: ${pending} sends of FROM are pending, and ${since} came after it was read. If a gateway still runs with FROM, stop it and copy
again before one runs with TO. What a killed one left pending becomes unknown as soon as a gateway runs with TO.
`)
  await print('\nTO is complete as long as no gateway has written to FROM meanwhile: run gateways with TO only from now on.\n')
  return true
}

/** Walks both in order of id; what settled after it was copied is settled in the copy, and what is missing must have a reason. */
async function compare(source: Ledger, target: Ledger, policy: Policy & { recently: number }): Promise<Counts> {
  const found = { updated: 0, held: 0, since: 0 }
  const theirs = rowsOf(target)
  let there = await theirs.next()
  let lost = 0
  for await (const page of pagesOf(after => source.dump(after).catch(source.blame))) {
    for (const row of page) {
      while (!there.done && there.value.id < row.id) there = await theirs.next()
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
  for await (const page of pagesOf(after => target.dump(after).catch(target.blame))) yield* page
}

async function update(target: Ledger, { id, state, settledAt, answer = '' }: SendRow, there: SendRow) {
  if (state === 'pending' || state === there.state || settledAt === undefined) return 0
  const { settled } = await target.settle(id, { state, settledAt, answer }).catch(target.blame)
  return Number(settled)
}

async function isHeld(target: Ledger, { caller, idempotencyKey, state }: SendRow) {
  if (idempotencyKey === undefined || state === 'not_sent') return false
  const rows = await target.list(caller, { idempotencyKey, limit: 100 }).catch(target.blame)
  return rows.some(({ state }) => state !== 'not_sent')
}

const isExpired = ({ state, settledAt }: SendRow, { keepMs, keepUnknownMs }: Policy) =>
  settledAt !== undefined && settledAt <= Date.now() - (state === 'unknown' ? keepUnknownMs : keepMs)
