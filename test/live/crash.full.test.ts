import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { test } from '../gateway.ts'
import { startProgram } from '../program.ts'

const watching = { EVENTS_CHANNELS: 'whatsapp/100', EVENTS_INTERVAL_MS: '1000' }
const soon = { interval: 100 }

describe('A gateway that is killed while it appends the event of a message that it sent', () => {
  test.for(['before', 'after'].flatMap(at => [true, false].map(isAnswered => ({ at, isAnswered }))))(
    '$at the append (Afilnet answered: $isAnswered) loses neither event nor messageId nor delivery',
    async ({ at, isAnswered }, { sandbox }) => {
      const first = await startProgram(sandbox, { ...watching, KILL_AT: at }, 'test/live/killed-at-append.ts')
      const url = `sqlite:${join(first.folder, 'ledger.sqlite')}`
      await first.logged('polling for events started')
      const polls = () => sandbox.calls.filter(({ params }) => Object.fromEntries(params).method === 'getchats').length
      await expect.poll(polls, soon).toBeGreaterThan(1)
      if (!isAnswered) sandbox.answer({ fault: 'drop', method: 'sendmessage' })
      const { json } = await first.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello' })
      const id = isAnswered ? json.id : json.sendId
      await first.exited

      const second = await startProgram(sandbox, { ...watching, STORE_URL: url })
      const created = async () => (await second.get('/events?type=message.created')).json.items
      await expect.poll(created, soon).toHaveLength(1)
      const [{ messageId, message }] = await created()
      expect(message).toMatchObject({ message: 'Hello', direction: 'out' })
      await expect
        .poll(async () => (await second.get(`/sends/${id}`)).json, soon)
        .toMatchObject({
          state: 'accepted',
          settledBy: isAnswered ? 'answer' : 'read-back',
          messageId,
          delivery: { status: message.status },
        })
      expect(await created()).toHaveLength(1)
      expect(sandbox.sent).toHaveLength(1)
    },
  )
})
