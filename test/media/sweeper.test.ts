import { hash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test as base, describe, expect } from 'vitest'
import type { Events, Observe } from '../../src/events.ts'
import { MediaStoreError } from '../../src/media/bytes.ts'
import { Media } from '../../src/media/media.ts'
import { openBytes } from '../../src/media/open.ts'
import { createSweeper } from '../../src/media/sweeper.ts'
import type { MediaLedger } from '../../src/store/media.ts'
import { openStore } from '../../src/store/open.ts'
import { StoreUnavailableError } from '../../src/store/store.ts'
import { file } from '../store/media-contract.ts'
import { policy } from '../store/sends.ts'

const minute = 60_000
const hour = 60 * minute

type Swept = Events['mediaSwept'] | Events['mediaSweepFailed']

const test = base.extend<{ sweeping: Awaited<ReturnType<typeof open>> }>({
  // biome-ignore lint/correctness/noEmptyPattern: how Vitest says "needs no other fixture"
  sweeping: async ({}, use) => {
    const sweeping = await open()
    await use(sweeping)
    await sweeping.end()
  },
})

/** Files in a folder and a ledger, under a clock that the test turns. */
async function open() {
  const dir = mkdtempSync(join(tmpdir(), 'sweeper-'))
  const path = join(dir, 'media')
  const clock = { ms: Date.now() }
  const store = await openStore('sqlite::memory:', { ...policy, now: () => clock.ms, monotonic: () => clock.ms })
  const events: Swept[] = []
  const observe: Observe = (event, details) => void (/^mediaSw/.test(event) && events.push(details as Swept)) // of these two events
  const place = { kind: 'folder', path } as const
  const limits = { maxBytes: 1_000, maxTotalBytes: 10_000, keepMs: hour, uploadMs: hour, stallMs: hour }
  const mediaOn = (ledger: MediaLedger) =>
    new Media({ ...limits, place, ledger, ownUrl: () => 'http://localhost', observe, now: () => clock.ms })
  const upload = async () => {
    const bytes = randomBytes(50)
    const draft = await (await openBytes(place)).draft(Readable.from([bytes]))
    return { ...draft, bytes: 50, sha256: hash('sha256', bytes), contentType: 'image/png', name: 'a.png', isKept: false }
  }
  const media = mediaOn(store.media)
  return {
    path,
    place,
    media,
    mediaOn,
    upload,
    ledger: store.media,
    events,
    observe,
    now: () => clock.ms,
    names: () => (existsSync(path) ? readdirSync(path).sort() : []),
    async keep() {
      const [row] = await media.keep('owner', [{ type: 'image', upload: await upload() }])
      return row?.id ?? ''
    },
    /** Lets time pass in small steps: the ledger deletes nothing after a leap of its clock. */
    async pass(ms: number) {
      for (const end = clock.ms + ms; clock.ms < end; ) {
        clock.ms += Math.min(minute, end - clock.ms)
        await store.media.expired()
      }
    },
    setBack(ms: number) {
      clock.ms -= ms
    },
    async end() {
      await store.close()
      rmSync(dir, { recursive: true })
    },
  }
}

describe('The sweeper', () => {
  test('deletes files that have expired, and no others', async ({ sweeping: { media, ledger, path, names, keep, pass, events } }) => {
    const old = await keep()
    expect(
      [path, join(path, old)].map(of => statSync(of).mode & 0o777),
      'no other user reads them',
    ).toEqual([0o700, 0o600])
    const needed = await keep()
    await ledger.keepUntil([needed], Date.now() + 5 * hour)
    await media.sweep()
    expect(names()).toEqual([old, needed].sort())

    await pass(hour + minute)
    await expect(media.find('owner', old)).rejects.toMatchObject({ code: 'media-not-found' })
    const young = await keep()
    await media.sweep()

    expect(names()).toEqual([needed, young].sort())
    expect(await ledger.usage()).toEqual({ files: 2, bytes: 100 })
    expect(events).toEqual([{ reason: 'expired', count: 1 }])
  })

  test('deletes all that has expired, however much it is', async ({ sweeping: { media, ledger, pass, events } }) => {
    const rows = Array.from({ length: 2_001 }, () => file({ bytes: 1, createdAt: Date.now(), expiresAt: Date.now() + hour }))
    await Promise.all(rows.map(row => ledger.add(row, 10_000)))
    await pass(hour + minute)
    await media.sweep()

    expect(await ledger.usage()).toEqual({ files: 0, bytes: 0 })
    expect(events.map(event => 'count' in event && event.count)).toEqual([1_000, 1_000, 1])
  })

  test('deletes what only one of the two stores has, once it is an hour old', async ({
    sweeping: { media, ledger, path, names, keep, pass, events },
  }) => {
    const whole = await keep()
    await ledger.keepUntil([whole], Date.now() + 5 * hour)
    const [orphan, lost] = [randomUUID(), file({ createdAt: Date.now(), expiresAt: Date.now() + 5 * hour })]
    writeFileSync(join(path, orphan), 'x')
    writeFileSync(join(path, 'notes.txt'), 'of somebody else')
    await ledger.add(lost, 10_000)
    await media.sweep()
    expect([names(), (await ledger.usage()).files]).toEqual([[orphan, whole, 'notes.txt'].sort(), 2])

    await pass(hour + minute)
    await media.sweep()
    expect([names(), events]).toEqual([[orphan, whole, 'notes.txt'].sort(), [{ reason: 'lost', count: 1 }]])
    await pass(hour / 2)
    await media.sweep()

    expect(names()).toEqual([whole, 'notes.txt'].sort())
    expect(await ledger.usage()).toEqual({ files: 1, bytes: 50 })
    expect(events).toEqual([
      { reason: 'lost', count: 1 },
      { reason: 'orphan', count: 1 },
    ])
  })

  test('does so after a clock that was ahead was set back', async ({ sweeping: { media, path, names, keep, pass, setBack } }) => {
    const whole = await keep()
    await pass(hour / 2)
    await media.sweep()
    setBack(hour / 2)
    const orphan = randomUUID()
    writeFileSync(join(path, orphan), 'x')
    utimesSync(join(path, orphan), 0, 0)
    await media.sweep()
    await pass(minute)
    await media.sweep()
    expect(names()).toEqual([whole, orphan].sort())
    await pass(hour / 2)
    await media.sweep()

    expect(names()).toEqual([whole])
  })

  test('takes no file for unknown that another gateway is deleting', async ({
    sweeping: { ledger, place, now, names, keep, pass, events, observe },
  }) => {
    const bytes = await openBytes(place)
    const gate = Promise.withResolvers<void>()
    const slow = { ...bytes, remove: (id: string) => gate.promise.then(() => bytes.remove(id)) }
    const [one, other] = [slow, bytes].map(bytes => createSweeper({ ledger, place, open: async () => bytes, observe, now }))
    await keep()
    await keep()
    await pass(hour + minute)

    const sweeping = one?.()
    await expect.poll(() => ledger.usage()).toMatchObject({ files: 0 })
    await other?.()
    gate.resolve()
    await sweeping

    expect(names()).toEqual([])
    expect(events).toEqual([{ reason: 'expired', count: 2 }])
  })

  test('deletes what uploads of dead processes have left, and says when it cannot sweep', async ({
    sweeping: { media, path, names, keep, events },
  }) => {
    const id = await keep()
    writeFileSync(join(path, '4194304-1-1.part'), 'x') // no process has this number
    writeFileSync(join(path, `${process.pid}-${Date.now()}-9.part`), 'x')
    await media.sweep(true)
    expect(names()).toEqual([id, `${names().find(name => name.endsWith('.part'))}`].sort())
    expect(names()).toHaveLength(2)

    const minutesAgo = (minutes: number) => (Date.now() - minutes * minute) / 1000
    for (const name of names().filter(name => name.endsWith('.part'))) {
      utimesSync(join(path, name), 0, minutesAgo(10)) // its form may still arrive, or wait for its turn
      await media.sweep()
      expect(names()).toContain(name)
      utimesSync(join(path, name), 0, minutesAgo(16))
      await media.sweep()
      expect(names()).not.toContain(name)
    }

    rmSync(path, { recursive: true })
    writeFileSync(path, 'no folder')
    await media.sweep()
    expect(events).toEqual([{ fault: expect.stringMatching(/^(ENOTDIR|EEXIST)$/) }])
  })
  test('takes no file for lost that it cannot look at', async ({ sweeping: { media, ledger, path, keep, pass, events } }) => {
    const id = await keep()
    await ledger.keepUntil([id], Date.now() + 5 * hour)
    rmSync(join(path, id))
    symlinkSync(id, join(path, id)) // a loop, which no user can read: it stands for a disk that fails

    await pass(hour + minute)
    await media.sweep()

    expect(events).toEqual([{ fault: 'ELOOP' }])
    expect(await ledger.usage()).toMatchObject({ files: 1 })
  })
})

describe('A store that fails', () => {
  test('keeps none of the files of a send, nor their rows', async ({ sweeping: { media, ledger, names, upload } }) => {
    const commit = () => Promise.reject(new MediaStoreError('full', 'ENOSPC'))
    const [file, thumb] = [await upload(), { ...(await upload()), commit }]
    const keeping = media.keep(
      'owner',
      [file, thumb].map(upload => ({ type: 'image' as const, upload })),
    )

    await expect(keeping).rejects.toMatchObject({ code: 'media-full' })
    await thumb.discard()
    expect([names(), await ledger.usage()]).toEqual([[], { files: 0, bytes: 0 }])
  })

  test('does not fail the end of an undelivered send: its files are deleted when they expire', async ({
    sweeping: { mediaOn, ledger },
  }) => {
    const removeOf = () => Promise.reject(new StoreUnavailableError('io'))

    await expect(mediaOn({ ...ledger, removeOf }).discardOf('send')).resolves.toBeUndefined()
  })
})
