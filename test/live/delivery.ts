import { test as base } from 'vitest'
import type { ConsumersOptions, Reader } from '../../src/live/consumers.ts'
import { Live, type Watched } from '../../src/live/live.ts'
import type { Message } from '../../src/live/ports.ts'
import type { Sink } from '../../src/live/stream.ts'
import type { NewEvent } from '../../src/store/event-log.ts'
import { openStore } from '../../src/store/open.ts'
import { policy } from '../store/sends.ts'

/** What a stream was given. */
export type Taken = { text: string; ended: boolean; unsentBytes: number; mostUnsent: number; leave: () => void; blocks: () => Block[] }
export type Block = { id?: string; event?: string; data?: Record<string, unknown>; retry?: string; comment?: true }

export const watched = (callers: Record<string, string> = { crm: '1', shop: '1' }): Watched => ({
  accounts: new Map([
    ['main', '1'],
    ['other', '1'],
  ]),
  callers: new Map(Object.entries(callers)),
})

export const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
export const crm: Reader = { name: 'crm', account: 'main', config: '1' }

export const message = (messageId: string, text = `text of ${messageId}`): Message => ({
  ...chat,
  messageId,
  message: text,
  sent: false,
  direction: 'in',
  status: 'unread',
  datetime: '2026-01-31 09:30:00',
})

export const created = (messageId: string, over: Partial<NewEvent> = {}): NewEvent => ({
  type: 'message.created',
  at: Date.now(),
  ...chat,
  messageId,
  direction: 'in',
  ...over,
})

/** The cursor that an id is. */
export function cursorOf(id: unknown) {
  const [, , identity = '', digits = ''] = /^(.{4})(.{8})(.*?)\.?$/.exec(String(id)) ?? []
  return { identity, position: Number.parseInt(digits, 36) }
}

/** Takes a stream apart as its reader would. */
export function blocksOf(text: string): Block[] {
  return text
    .split('\n\n')
    .filter(block => block !== '')
    .map(block => {
      const found: Block = {}
      for (const line of block.split('\n')) {
        const [, name = '', value = ''] = /^([^:]*): ?(.*)$/.exec(line) ?? []
        if (name === '') found.comment = true
        else Object.assign(found, { [name]: name === 'data' ? JSON.parse(value) : value })
      }
      return found
    })
}

type Query = Parameters<Live['stream']>[1]

type Fixtures = {
  clock: { ms: number }
  store: Awaited<ReturnType<typeof openStore>>
  /** The conversation as Afilnet lists it; an error is what it answers instead. */
  afilnet: { list: Message[]; error: Error | undefined; reads: number }
  live: Live
  start: (over?: ConsumersOptions & Partial<Pick<ConstructorParameters<typeof Live>[0], 'log' | 'secret' | 'onDelivered'>>) => Live
  append: (...events: NewEvent[]) => Promise<number[] | undefined>
  open: (reader?: Reader, query?: Query, unsentBytes?: number) => Promise<Taken>
  /** The same of another delivery; a reader that takes when asked has nothing unsent then. */
  openIn: (live: Live, reader?: Reader, query?: Query, sink?: { unsentBytes?: number; takesWhenAsked?: boolean }) => Promise<Taken>
}

/** The delivery over a real store. */
export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  clock: async ({}, use) => use({ ms: Date.now() }),
  store: async ({ clock }, use) => {
    const store = await openStore('sqlite::memory:', { ...policy, now: () => clock.ms, monotonic: () => clock.ms })
    for (const account of ['main', 'other']) await store.log.open(account)
    await use(store)
    await store.close()
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  afilnet: async ({}, use) => use({ list: [], error: undefined, reads: 0 }),
  start: async ({ store, afilnet }, use) => {
    const started: Live[] = []
    await use(over => {
      const live = new Live({
        log: store.log,
        secret: store.secret,
        async readConversation() {
          afilnet.reads++
          if (afilnet.error) throw afilnet.error
          return { items: afilnet.list, digest: '', beganAt: Date.now(), endedAt: Date.now() }
        },
        describeSend: ({ id, state }) => ({ id, state }),
        watched: watched(),
        onDelivered: () => {},
        ...over,
      })
      started.push(live)
      return live
    })
    for (const live of started) live.close()
  },
  live: async ({ start }, use) => use(start()),
  append: async ({ store }, use) => use((...events) => store.log.append('main', { events })),
  open: async ({ live, openIn }, use) => {
    await use((reader, query, unsentBytes) => openIn(live, reader, query, { ...(unsentBytes !== undefined && { unsentBytes }) }))
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  openIn: async ({}, use) => {
    await use(async (live, reader = crm, query = {}, { unsentBytes = 0, takesWhenAsked = false } = {}) => {
      const taken: Taken = { text: '', ended: false, unsentBytes, mostUnsent: 0, leave: () => {}, blocks: () => blocksOf(taken.text) }
      const end = () => {
        taken.ended = true
        taken.leave()
      }
      const sink: Sink = {
        write(bytes) {
          taken.text += bytes
          if (unsentBytes > 0 || takesWhenAsked) taken.unsentBytes += bytes.length
          taken.mostUnsent = Math.max(taken.mostUnsent, taken.unsentBytes)
        },
        end,
        destroy: end,
        get unsentBytes() {
          return taken.unsentBytes
        },
        async drained() {
          if (takesWhenAsked) taken.unsentBytes = 0
        },
      }
      taken.leave = await live.stream(reader, query, () => sink)
      return taken
    })
  },
})

export const idsOf = (taken: Taken) => taken.blocks().flatMap(({ data }) => (data ? [data.messageId] : []))
