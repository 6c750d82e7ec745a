import type { Archive } from '../store.ts'
import type { Reply } from './connection.ts'
import { forgetDeliveries } from './deliveries.ts'
import { eventScripts } from './event-scripts.ts'
import { queueScripts } from './queue-scripts.ts'
import { fieldsOf, toRow } from './rows.ts'
import { scripts } from './scripts.ts'
import type { Session } from './session.ts'

const slice = 200
const pageRows = 1_000

/** What an operator does to a whole ledger on a server. */
export function createArchive(session: Session): Archive {
  const { read, members, write, confirmedWrite } = session
  return {
    async dump(after = '') {
      const rows = (await read(scripts.dump, after, pageRows)) as Reply[]
      return rows.map(toRow).filter(({ state }) => state !== undefined)
    },

    async load(rows) {
      let taken = 0
      for (let at = 0; at < rows.length; at += slice) {
        const some = rows.slice(at, at + slice).map(row => write(scripts.load, ...fieldsOf(row)))
        for (const [one] of await Promise.all(some)) taken += Number(one)
      }
      return taken
    },

    async adopt(secret) {
      const wanted = Buffer.from(secret).toString('hex')
      const [found] = await confirmedWrite(scripts.secret, wanted)
      return found === wanted
    },

    holdQueue: async () => Number((await confirmedWrite(queueScripts.hold))[0]),
    releaseQueue: async () => Number((await confirmedWrite(queueScripts.unhold))[0]),

    async forget(destination) {
      const sum = { gone: 0, pending: 0 }
      for (const caller of await members('callers')) {
        let from = ''
        do {
          const [gone, pending, last] = await write(scripts.forget, caller, destination, from, slice)
          sum.gone += Number(gone)
          sum.pending += Number(pending)
          from = String(last)
        } while (from !== '')
      }
      await forgetEvents(session, destination)
      await forgetDeliveries(session, destination)
      return sum
    },
  }
}

async function forgetEvents({ members, write }: Session, destination: string) {
  for (const account of await members('logs')) {
    for (let after = '0'; after !== ''; ) after = String((await write(eventScripts.forgetEvents, account, destination, after, slice))[0])
    let cursor = '0'
    do cursor = String((await write(eventScripts.forgetStates, account, destination, cursor, slice))[0])
    while (cursor !== '0')
  }
}
