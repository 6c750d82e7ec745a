import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { StoreOptions } from '../../src/store/adapter.ts'
import { type MediaLedger, type MediaRow, mediaRows } from '../../src/store/media.ts'
import type { Store } from '../../src/store/store.ts'
import { withStore } from './with-store.ts'

const hour = 3_600_000

/** A stored file like any other. */
export const file = (over: Partial<MediaRow> = {}): MediaRow => ({
  id: randomUUID(),
  token: randomUUID(),
  owner: 'crm',
  type: 'image',
  contentType: 'image/png',
  bytes: 100,
  sha256: 'a'.repeat(64),
  name: 'NUL \0, "quotes" and \u{1F600}.png',
  createdAt: 1_000,
  expiresAt: hour,
  ...over,
})

/** What any adapter must hold for files; `open` gives an empty store. */
export function mediaContract(name: string, open: (options: StoreOptions) => Promise<Store & { media: MediaLedger }>) {
  const test = withStore(open).extend<{ media: MediaLedger }>({ media: ({ store }, use) => use(store.media) })

  describe(`${name}: files`, () => {
    test('are found as they were added, by id and by token', async ({ media }) => {
      const plain = file()
      const sent = file({ platform: 'whatsapp', platformId: '100', destination: '34600000000' })

      expect(await Promise.all([media.add(plain, 1_000), media.add(sent, 1_000)])).toEqual([true, true])
      expect(await media.find(plain.id)).toEqual(plain)
      expect(await media.findByToken(sent.token)).toEqual(sent)
      expect([await media.find(sent.token), await media.findByToken(plain.id), await media.find('')]).toEqual(Array(3).fill(undefined))
    })

    test('have no more bytes together than is allowed, whatever else runs', async ({ media }) => {
      const added = await Promise.all(Array.from({ length: 20 }, () => media.add(file(), 1_000)))

      expect(added.filter(Boolean)).toHaveLength(10)
      expect(await media.usage()).toEqual({ files: 10, bytes: 1_000 })
      expect(await media.add(file({ bytes: 0 }), 1_000)).toBe(true)
    })

    test('are counted until they are removed, once each', async ({ media }) => {
      const [one, two] = [file(), file({ bytes: 7 })]
      await media.add(one, 1_000)
      await media.add(two, 1_000)
      expect(await media.add(one, 1_000), 'the same again').toBe(false)
      await media.remove([one.id, 'unknown', one.id])
      await media.remove([one.id])

      expect(await media.usage()).toEqual({ files: 1, bytes: 7 })
      expect([await media.find(one.id), await media.findByToken(one.token)]).toEqual([undefined, undefined])
    })

    test('are gone when they expire, and listed for deletion once the clock is steady', async ({ media, clock }) => {
      const [past, short, long] = [file({ expiresAt: 1_000 }), file(), file({ expiresAt: 3 * hour })]
      for (const row of [past, short, long]) await media.add(row, 1_000)
      expect(await media.find(past.id)).toBeUndefined()
      expect(await media.expired()).toEqual([])
      clock.ms = hour

      expect(await media.find(short.id)).toBeUndefined()
      expect(await media.findByToken(short.token)).toBeUndefined()
      expect(await media.find(long.id)).toEqual(long)
      expect(await media.expired()).toEqual([past.id, short.id])
    })

    test('live longer if they are needed, and never shorter', async ({ media, clock }) => {
      const row = file()
      await media.add(row, 1_000)
      await media.keepUntil([row.id, 'unknown'], 5 * hour)
      await media.keepUntil([row.id], 2 * hour)
      clock.ms = 4 * hour

      expect(await media.find(row.id)).toEqual({ ...row, expiresAt: 5 * hour })
      expect(await media.expired()).toEqual([])
    })

    test('go with the send that they came with, unless they are shared', async ({ media }) => {
      const [one, thumb, shared] = [file({ sendId: 's-1' }), file({ sendId: 's-1' }), file({ sendId: 's-1' })]
      for (const row of [one, thumb, shared, file({ sendId: 's-2' }), file()]) await media.add(row, 1_000)
      expect(await media.find(one.id)).toEqual(one)

      expect([await media.share(shared.id), await media.share('unknown')]).toEqual([true, false])
      expect((await media.removeOf('s-1')).sort()).toEqual([one.id, thumb.id].sort())
      expect([await media.removeOf('s-1'), await media.removeOf('unknown')]).toEqual([[], []])
      const { sendId: _, ...plain } = shared
      expect(await media.find(shared.id)).toEqual(plain)
      expect(await media.share(one.id)).toBe(false)
      expect(await media.usage()).toEqual({ files: 3, bytes: 300 })
    })

    test('of a send go by themselves, too', async ({ media }) => {
      const row = file({ sendId: 's-1' })
      await media.add(row, 1_000)
      await media.remove([row.id])
      await media.load({ ...row, id: randomUUID() })

      expect(await media.removeOf('s-1')).toHaveLength(1)
      expect(await media.usage()).toEqual({ files: 0, bytes: 0 })
    })

    test('are dumped in order of id, and taken over as they are', async ({ media }) => {
      const rows = [...Array.from({ length: 4 }, () => file()), file({ sendId: 's-1' })].sort((a, b) => (a.id < b.id ? -1 : 1))
      const taken = await Promise.all(rows.map(row => media.load(row)))

      expect([taken, await media.load(rows[0] ?? file())]).toEqual([Array(5).fill(true), false])
      expect(await media.dump()).toEqual(rows)
      expect(await media.dump(rows[2]?.id)).toEqual(rows.slice(3))
      expect(await media.usage()).toEqual({ files: 5, bytes: 500 })
      await Promise.all(Array.from({ length: 996 }, () => media.load(file())))
      const all = new Set<string>()
      for await (const { id } of mediaRows(media)) all.add(id)
      expect(all.size, 'more than a page').toBe(1_001)
    })
  })
}
