import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import { StoreUrlError } from '../../src/store/store.ts'
import { policy, send } from './sends.ts'
import { refused, test } from './stores.ts'

describe('openStore', () => {
  test.for(['000', '277'])('makes a directory and files that are only ours, under umask %s', async (mask, { dir }) => {
    const inner = join(dir, 'data')
    if (mask !== '000') mkdirSync(inner, 0o700) // else not even its owner could enter it
    const old = process.umask(Number.parseInt(mask, 8))
    const store = await openStore(`sqlite:${inner}/gateway.sqlite`, policy)
    await store.claim(send())
    process.umask(old)

    expect(statSync(inner).mode & 0o777).toBe(0o700)
    const modes = readdirSync(inner).map(file => [file, statSync(join(inner, file)).mode & 0o777])
    expect(modes).toEqual(['', '-shm', '-wal'].map(suffix => [`gateway.sqlite${suffix}`, 0o600]))
    await store.close()
  })

  test('takes a path relative to where the process runs', async ({ dir }) => {
    const old = process.cwd()
    process.chdir(dir)
    const store = await openStore('sqlite:./data/gateway.sqlite', policy)
    process.chdir(old)

    expect(existsSync(join(dir, 'data', 'gateway.sqlite'))).toBe(true)
    await store.close()
  })

  test.for(['', 'sqlite:', 'sqlite://host/x', 'redis://:secret@host:99999', 'mysql://:secret@host', './gateway.sqlite'])(
    'refuses %j, and does not repeat it',
    async url => {
      const error = await refused(openStore(url, policy))

      expect(error).toBeInstanceOf(StoreUrlError)
      expect(String(error)).not.toContain('secret')
    },
  )
})
