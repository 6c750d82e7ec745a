import { expect } from 'vitest'
import type { Conversation } from '../../src/live/conversation.ts'
import { channelKey, chatKey, readKnown } from '../../src/live/known-states.ts'
import { writeState } from '../../src/live/state-text.ts'
import { openStore } from '../../src/store/open.ts'
import { withStore } from '../store/with-store.ts'

const test = withStore(options => openStore('sqlite::memory:', options))
const channel = { platform: 'whatsapp', platformId: '100' }
const conversation: Conversation = { oldBefore: null, messages: [] }

test('What the last poller knew is read whole, however many conversations there are', async ({ store: { log } }) => {
  const destinations = Array.from({ length: 2_500 }, (_, n) => `34${600_000_000 + n}`)
  const states = destinations.map(destination => ({
    key: chatKey({ ...channel, destination }),
    destination,
    state: writeState({ mark: `mark of ${destination}`, readAt: 0, conversation }),
  }))
  const ofChannel = { newest: null, readAt: 0 }
  await log.open('main')
  await log.append('main', {
    states: [...states, { key: channelKey(channel), destination: null, state: JSON.stringify(ofChannel) }],
    events: [],
  })

  const known = (await readKnown(log, 'main', 10_000)).get(channelKey(channel))
  expect(known?.channel).toEqual(ofChannel)
  expect([...(known?.marks ?? [])]).toEqual(destinations.map(destination => [destination, `mark of ${destination}`]))
})
