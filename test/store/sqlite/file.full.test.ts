import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { type Archive, type Store, StoreUnavailableError } from '../../../src/store/store.ts'
import { created } from '../event-contract.ts'
import { crm, ended, send } from '../sends.ts'
import { installed, refused, test, unavailable } from '../stores.ts'

/** What a descriptor of this process stands for. */
function linkOf(fd: string) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return undefined // closed meanwhile
  }
}

describe('faults of the file', () => {
  test('a corrupt file refuses each verb, is left as it is, and is fine once restored', async ({ open, path, states }) => {
    const row = send()
    const first = await open()
    await first.claim(row)
    await first.close()
    const intact = readFileSync(path)
    const garbage = Buffer.from(intact).fill('?', 0, 4_096)
    writeFileSync(path, garbage)

    const store = await open()
    expect(states).toEqual(['corrupt'])
    expect(await refused(store.claim(send()))).toEqual(unavailable('corrupt'))
    expect(await refused(store.find(crm, row.id))).toEqual(unavailable('corrupt'))
    expect(readFileSync(path)).toEqual(garbage)
    writeFileSync(path, intact)
    expect(await store.find(crm, row.id)).toMatchObject({ state: 'pending' })
    expect(await store.claim(send())).toEqual({ claimed: true })
    expect(states).toEqual(['corrupt', 'ok'])
  })

  test('corruption deep in the file is found by an inspection', async ({ open, path }) => {
    const first = await open()
    await Promise.all(Array.from({ length: 200 }, () => first.claim(send())))
    await first.close()
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.fill(0, bytes.length - 3 * 4_096))

    const store = await open()
    const found = await store.check().then(
      ({ problems }) => problems,
      error => [String(error)],
    )
    expect(found).not.toEqual([])
  })

  test('a deleted file is not written to any longer', async ({ open, path }) => {
    const store = await open()
    await store.claim(send())
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix)
    const row = send()

    expect(await store.claim(row)).toEqual({ claimed: true })
    expect(existsSync(path)).toBe(true)
    expect(await store.list(crm, { limit: 10 })).toMatchObject([{ id: row.id }])
    expect(await store.expireLeases(), 'the lease is in the new file, too').toBe(0)
  })

  test('a file that takes the place of another one while that is opened is the ledger', async ({ open, path }) => {
    const [first, second] = [send(), send()]
    for (const row of [first, second]) {
      if (row === second) renameSync(path, `${path}.away`)
      const store = await open()
      await store.claim(row)
      await store.close()
    }
    const other = new DatabaseSync(path)
    other.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE') // other connections wait
    const opened = () => readdirSync('/proc/self/fd').filter(fd => linkOf(fd) === path).length
    const before = opened()
    const opening = open()
    await expect.poll(opened).toBeGreaterThan(before)
    renameSync(`${path}.away`, path)
    rmSync(`${path}-wal`)
    other.exec('COMMIT')
    other.close()
    const store = await opening
    const row = send()

    await expect.poll(() => refused(store.claim(row))).toBe(undefined)
    const rows = await (await open()).list(crm, { limit: 10 })
    expect(rows.map(({ id }) => id)).toEqual([row.id, first.id])
  })

  test('those who watch a log hear that it is gone, and that an empty one is in its place', async ({ open, path }) => {
    const { log } = await open()
    await log.open('main')
    await log.append('main', { events: [created('1')] })
    let heard = 0
    const stop = log.watch(['main'], () => heard++)
    await expect.poll(() => heard).toBe(1)
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix)
    await expect.poll(() => heard).toBe(2)
    await log.open('main')

    await expect.poll(() => heard).toBe(3)
    stop()
  })

  const limited = process.platform === 'linux' && installed('prlimit')
  test.skipIf(!limited)(
    'a full disk refuses claims, keeps what was answered, and is fine with more room (needs prlimit)',
    async ({ remote }) => {
      const { store, pid } = await remote(['prlimit', '--fsize=1000000:unlimited', '--'])
      const answered: string[] = []
      const faults = new Set()
      const fill = async () => {
        while (faults.size === 0 && answered.length < 20_000) {
          const row = send({ reference: 'x'.repeat(100) })
          await store.claim(row).then(
            () => answered.push(row.id),
            error => faults.add(error.cause),
          )
        }
      }
      await Promise.all(Array.from({ length: 16 }, fill))

      expect([...faults].every(fault => fault === 'full' || fault === 'io')).toBe(true)
      expect(faults.size).toBeGreaterThan(0)
      spawnSync('prlimit', ['--pid', String(pid), '--fsize=unlimited'])
      expect(await store.claim(send())).toEqual({ claimed: true })
      for (const id of answered) expect(await store.find(crm, id)).toMatchObject({ state: 'pending' })
      expect((await store.check()).problems).toEqual([])
    },
  )

  const unshares = spawnSync('unshare', ['-m', 'true']).status === 0
  test.skipIf(!unshares)(
    'beside a ledger that alone can be written, large changes work too (needs unshare, as root)',
    async ({ dir, remote }) => {
      const readOnly = `mount --bind '${dir}' '${dir}' && cd /proc || exit
      for tmp in /tmp /var/tmp /usr/tmp; do [ ! -d $tmp ] || { mount --rbind $tmp $tmp && mount -o remount,bind,ro $tmp; } || exit; done
      exec "$0" "$@"`
      const { store } = await remote(['unshare', '-m', 'sh', '-c', readOnly])
      const rows = Array.from({ length: 2_000 }, () => send())
      await Promise.all(rows.map(row => store.claim(row)))
      await Promise.all(rows.map(row => store.settle(row, ended('accepted'))))

      expect(await (store as Store & Archive).forget('34600000000')).toEqual({ gone: 2_000, pending: 0 })
    },
  )

  // The superuser writes anywhere: it has to give that right away first
  const root = process.getuid?.() === 0
  const barred = root ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--'] : []
  test.skipIf(root && !installed('setpriv'))(
    'a read-only file is read, and written once it may be (needs setpriv when run by root)',
    async ({ open, path, remote }) => {
      const row = send()
      const first = await open()
      await first.claim(row)
      await first.close()
      chmodSync(path, 0o400)

      const { store } = await remote(barred)
      expect(await refused(store.claim(send()))).toEqual(unavailable('readonly'))
      expect(await store.find(crm, row.id)).toMatchObject({ state: 'pending' })
      chmodSync(path, 0o600)
      expect(await store.claim(send())).toEqual({ claimed: true })
      expect(await store.list(crm, { limit: 10 })).toHaveLength(2)
    },
  )

  test.skipIf(root && !installed('setpriv'))(
    'a file that may not be read is no broken disk, and is written once it may be (needs setpriv when run by root)',
    async ({ open, path, remote }) => {
      const first = await open()
      await first.claim(send())
      await first.close()
      chmodSync(path, 0)

      const { store } = await remote(barred)
      expect(await refused(store.claim(send()))).toEqual(unavailable('readonly'))
      chmodSync(path, 0o600)
      expect(await store.claim(send())).toEqual({ claimed: true })
    },
  )

  test.skipIf(root && !installed('setpriv'))(
    'a directory that may not be written refuses until it may (needs setpriv when run by root)',
    async ({ dir, remote }) => {
      chmodSync(dir, 0o500)
      const { store } = await remote(barred)

      expect(await refused(store.claim(send()))).toEqual(unavailable('readonly'))
      chmodSync(dir, 0o700)
      expect(await store.claim(send())).toEqual({ claimed: true })
    },
  )

  test('a path that is no file refuses', async ({ open, dir, states }) => {
    mkdirSync(join(dir, 'folder'))
    const store = await open({ path: join(dir, 'folder') })

    expect(await refused(store.claim(send()))).toBeInstanceOf(StoreUnavailableError)
    expect(states).toEqual(['io'])
  })
})

describe('what was forgotten', () => {
  /** Everything on the disk, as a finder of the disk would read it. */
  const bytesOf = (path: string) => ['', '-wal', '-shm'].map(suffix => readFileSync(path + suffix))
  const traces = (path: string, word: string) => bytesOf(path).some(bytes => bytes.includes(word))

  test('is in no byte of the file nor of its log, wherever its pages were split', async ({ open, path }) => {
    const store = await open()
    // In an order that splits pages of every index again and again
    const numbers = Array.from({ length: 3_000 }, (_, n) => String(346_000_000_000 + ((n * 7_919) % 3_000)))
    const sends = numbers.map(destination => send({ destination, idempotencyKey: `k${destination}`.slice(-5) }))
    await Promise.all(sends.map(row => store.claim(row)))
    await Promise.all(sends.map(row => store.settle(row, { ...ended('unknown'), answer: 'x'.repeat(300) })))
    const theirs = sends.filter((_, n) => n % 60 === 0).map(({ destination }) => destination)
    expect(theirs.filter(destination => traces(path, destination))).toEqual(theirs)

    for (const destination of theirs) expect(await store.forget(destination)).toEqual({ gone: 1, pending: 0 })

    expect(theirs.filter(destination => traces(path, destination))).toEqual([])
    expect(bytesOf(path)[1]).toHaveLength(0)
    expect(await store.check()).toMatchObject({ problems: [] })
  })

  test('leaves its traces in a large file only as long as a gateway runs, and says so', async ({ open, path }) => {
    const store = await open()
    const others = Array.from({ length: 1_000 }, () => ({ ...send(), ...ended('accepted'), answer: 'x'.repeat(70_000) }))
    await store.load([...others, { ...send({ destination: '34699999999' }), ...ended('accepted') }])
    await store.heartbeat('gateway')

    expect(await refused(store.forget('34699999999'))).toEqual(unavailable('busy'))
    expect(await store.list(crm, { destination: '34699999999', limit: 1 })).toEqual([])
    await store.release('gateway')
    expect(await store.forget('34699999999')).toEqual({ gone: 0, pending: 0 })
    expect(traces(path, '34699999999')).toBe(false)
  })
})
