import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { openStore } from '../../src/store/open.ts'
import type { Archive, SendRow, Store } from '../../src/store/store.ts'
import { test as base, type TestGateway } from '../gateway.ts'
import { ended, policy, send } from '../store/sends.ts'
import { noServer, type Server, startServer } from '../store/valkey/server.ts'

type Environment = Record<string, string>
type Here = {
  dir: string
  path: string
  url: string
  server: Server
  /** Starts the program on `url`; killed at the end. */
  command: (args: string[], env?: Environment) => ReturnType<typeof startCommand>
  /** Runs it to its end. */
  run: (args: string[], options?: { input?: string; env?: Environment }) => Promise<{ code: number | null; stdout: string; stderr: string }>
  open: (path: string) => Promise<Store & Archive>
}

function startCommand(args: string[], env: Environment) {
  const child = spawn(process.execPath, ['src/cli/store.ts', ...args], { env: { PATH: process.env.PATH, ...env } })
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]> // as Node documents it
  return { child, exited }
}

const test = base.extend<Here>({
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads what a fixture needs from the pattern
  dir: async ({}, use) => {
    const dir = mkdtempSync(join(tmpdir(), 'store-command-'))
    await use(dir)
    rmSync(dir, { recursive: true })
  },
  path: async ({ dir }, use) => use(join(dir, 'gateway.sqlite')),
  url: async ({ path }, use) => use(`sqlite:${path}`),
  // biome-ignore lint/correctness/noEmptyPattern: as above
  server: async ({}, use) => {
    const server = await startServer()
    await use(server)
    await server.end()
  },
  command: async ({ url }, use) => {
    const started: ReturnType<typeof startCommand>[] = []
    await use((args, env = {}) => {
      const command = startCommand(args, { STORE_URL: url, ...env })
      started.push(command)
      return command
    })
    for (const { child, exited } of started) {
      child.kill('SIGKILL')
      await exited
    }
  },
  run: async ({ command }, use) => {
    await use(async (args, { input = '', env } = {}) => {
      const { child, exited } = command(args, env)
      child.stdin.end(input)
      const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()])
      const [code] = await exited
      return { code, stdout: stdout.join(''), stderr: stderr.join('') }
    })
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  open: async ({}, use) => {
    const opened: Store[] = []
    await use(async path => {
      const store = await openStore(`sqlite:${path}`, policy)
      opened.push(store)
      return store
    })
    for (const store of opened) await store.close()
  },
})

const number = '34699999999'
const settled = (over: Partial<SendRow> = {}): SendRow => ({ ...send(), ...ended('accepted', Date.now()), ...over })

async function fill(store: Archive, rows: readonly SendRow[]) {
  for (let n = 0; n < rows.length; n += 1_000) await store.load(rows.slice(n, n + 1_000))
}

async function dumpOf(store: Archive) {
  const all: SendRow[] = []
  for (let page = await store.dump(); page.length > 0; page = await store.dump(page.at(-1)?.id)) all.push(...page)
  return all
}

const say = (gateway: TestGateway, key: string, destination = '34600000000', message = 'Hello') =>
  gateway.post(`/chats/whatsapp/100/${destination}/messages`, { message }, { 'idempotency-key': key })

/** The figures of a report, by their first word. */
const figures = (stdout: string) =>
  Object.fromEntries([...stdout.matchAll(/^ *(\w+)(?: out)? +(\d+)/gm)].map(([, name, count]) => [name, Number(count)]))

describe('npm run store -- copy', () => {
  test('keeps the keys: a gateway on the copy replays what one on the original has sent', async ({ start, sandbox, url, path, run }) => {
    const original = await start({ env: { STORE_URL: url } })
    const [first, other] = [await say(original, 'k'), await say(original, 'CHAT_NOT_FOUND', 'CHAT_NOT_FOUND')]
    await original.drain()
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])
    const gateway = await start({ env: { STORE_URL: `sqlite:${path}.copy` } })
    const again = await say(gateway, 'k')

    expect(code).toBe(0)
    expect(figures(stdout)).toMatchObject({ read: 2, taken: 2, left: 0 })
    expect(again).toMatchObject({ status: 201, text: first.text, headers: { 'idempotency-replayed': 'true' } })
    expect((await say(gateway, 'CHAT_NOT_FOUND', 'CHAT_NOT_FOUND')).text).toBe(other.text)
    expect(await say(gateway, 'k', '34600000000', 'Another text')).toMatchObject({ status: 422, json: { code: 'idempotency-key-reused' } })
    expect((await gateway.get('/sends')).json.items).toHaveLength(2)
    expect(sandbox.calls).toHaveLength(2)
  })

  test.skipIf(noServer)(
    'keeps them from SQLite to Valkey and back (needs redis-server)',
    async ({ start, sandbox, url, dir, server, run }) => {
      const there = server.fresh()
      const back = `sqlite:${join(dir, 'back.sqlite')}`
      const original = await start({ env: { STORE_URL: url } })
      const sent = await say(original, 'once')
      await original.drain()

      expect(await run(['copy', url, there])).toMatchObject({ code: 0 })
      expect(await run(['copy', there, back])).toMatchObject({ code: 0 })

      for (const STORE_URL of [there, back]) {
        const gateway = await start({ env: { STORE_URL } })
        const again = await say(gateway, 'once')
        expect(again).toMatchObject({ status: 201, json: sent.json, headers: { 'idempotency-replayed': 'true' } })
        expect(await say(gateway, 'once', '34600000000', 'Something else')).toMatchObject({ status: 422 })
      }
      expect(sandbox.sent).toHaveLength(1)
    },
  )

  test('killed in the middle and run again ends with every send, once', { timeout: 60_000 }, async ({ url, path, open, command, run }) => {
    const rows = Array.from({ length: 30_000 }, (_, n) => settled({ idempotencyKey: `k${n}` }))
    const source = await open(path)
    await fill(source, rows)
    const target = await open(`${path}.copy`)
    const { child, exited } = command(['copy', url, `sqlite:${path}.copy`])
    await expect.poll(() => target.dump(), { interval: 5 }).not.toEqual([])
    const db = new DatabaseSync(`${path}.copy`, { timeout: 5_000 })
    db.exec('BEGIN IMMEDIATE') // it cannot finish now
    child.kill('SIGKILL')
    await exited
    db.exec('ROLLBACK')
    db.close()
    const left = await dumpOf(target)
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])

    expect(left.length).toBeGreaterThan(0)
    expect(left.length).toBeLessThan(rows.length)
    expect(code).toBe(0)
    expect(figures(stdout)).toMatchObject({ read: 30_000, taken: 30_000 - left.length, left: left.length })
    expect(await dumpOf(target)).toEqual(rows)
    expect(await target.secret()).toEqual(await source.secret())
    expect(await source.check()).toMatchObject({ problems: [] })
  })

  test('warns of sends that still run, and brings how they ended with the next copy', async ({ url, path, open, run }) => {
    const [source, target] = [await open(path), await open(`${path}.copy`)]
    const [running, other] = [send({ createdAt: Date.now() }), send({ createdAt: Date.now() })]
    await source.claim(running)
    await source.claim(other)
    const early = await run(['copy', url, `sqlite:${path}.copy`])
    await source.settle(running.id, ended('accepted', Date.now()))
    await source.settle(other.id, ended('rejected', Date.now()))
    const late = await run(['copy', url, `sqlite:${path}.copy`])

    expect(early).toMatchObject({ code: 0, stdout: expect.stringContaining('Warning: 2 sends of FROM are pending') })
    expect(late).toMatchObject({ code: 0, stdout: expect.not.stringContaining('Warning') })
    expect(figures(late.stdout)).toMatchObject({ read: 2, taken: 0, left: 2, settled: 2 })
    expect(await target.dump()).toEqual(await source.dump())
  })

  test('beside a gateway that sends takes what it finds, and the rest once that has stopped', async ({ url, path, open, run }) => {
    const [source, target] = [await open(path), await open(`${path}.copy`)]
    await fill(
      source,
      Array.from({ length: 3_000 }, () => settled({ createdAt: 1 })),
    )
    let running = true
    const sending = (async () => {
      while (running) {
        const row = send({ createdAt: Date.now() })
        await source.claim(row)
        await source.settle(row.id, ended('accepted', Date.now()))
      }
    })()
    const during = await run(['copy', url, `sqlite:${path}.copy`])
    running = false
    await sending
    const after = await run(['copy', url, `sqlite:${path}.copy`])

    expect(during).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/Warning: \d+ sends of FROM are pending, and \d+ came/),
    })
    expect(after).toMatchObject({ code: 0, stderr: '', stdout: expect.not.stringContaining('Warning') })
    expect(await dumpOf(target)).toEqual(await dumpOf(source))
  })

  test('leaves out a send whose key another one holds there, and says so', async ({ url, path, open, run }) => {
    const [source, target] = [await open(path), await open(`${path}.copy`)]
    const holder = settled({ idempotencyKey: 'k' })
    await target.adopt(await source.secret())
    await target.load([holder])
    await source.load([settled({ idempotencyKey: 'k' }), settled()])
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])

    expect(code).toBe(0)
    expect(figures(stdout)).toMatchObject({ read: 2, taken: 1, left: 0 })
    expect(stdout).toContain('1, another send holds their key in TO')
    expect(await target.list('crm', { idempotencyKey: 'k', limit: 10 })).toEqual([holder])
  })

  test('refuses a ledger with a secret of its own, and leaves it as it is', async ({ url, path, open, run }) => {
    const [source, target] = [await open(path), await open(`${path}.copy`)]
    await source.load([settled()])
    const [own, row] = [await target.secret(), settled()]
    await target.load([row])
    const { code, stdout, stderr } = await run(['copy', url, `sqlite:${path}.copy`])

    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('TO has a secret of its own')
    expect([await target.secret(), await target.dump()]).toEqual([own, [row]])
  })

  test('takes a URL from a file, too', async ({ dir, url, path, open, run }) => {
    await (await open(path)).load([settled()])
    writeFileSync(join(dir, 'to'), `sqlite:${path}.copy\n`)

    expect(await run(['copy', url, `@${join(dir, 'to')}`])).toMatchObject({ code: 0, stderr: '' })
    expect(await (await open(`${path}.copy`)).dump()).toHaveLength(1)
  })
})

describe('npm run store -- forget', () => {
  const bytesOf = (path: string) => ['', '-wal'].map(suffix => readFileSync(path + suffix))

  test('erases a number from the disk while a gateway goes on sending, and says it nowhere', async ({ start, url, path, run, open }) => {
    const gateway = await start({ env: { STORE_URL: url } })
    for (let n = 0; n < 20; n++) await Promise.all([say(gateway, `a${n}`, number), say(gateway, `b${n}`)])
    const posts: Promise<{ status: number }>[] = []
    const posting = setInterval(() => posts.push(say(gateway, `c${posts.length}`)), 5)
    const { code, stdout, stderr } = await run(['forget', '-'], { input: `${number}\n` })
    await expect.poll(() => posts.length).toBeGreaterThan(20)
    clearInterval(posting)
    const statuses = new Set((await Promise.all(posts)).map(({ status }) => status))

    expect({ code, ...figures(stdout) }).toEqual({ code: 0, gone: 20, pending: 0 })
    expect(stdout + stderr).not.toContain(number)
    expect([...statuses]).toEqual([201])
    expect((await gateway.get(`/sends?destination=${number}`)).json.items).toEqual([])
    expect(await gateway.get('/health/ready')).toMatchObject({ json: { store: 'ok' } })
    expect(gateway.log.filter(({ level }) => Number(level) >= 40)).toEqual([])
    const rest = await dumpOf(await open(path))
    expect(rest).toHaveLength(20 + posts.length)
    for (const bytes of bytesOf(path)) expect(bytes.includes(number)).toBe(false)
  })

  test('leaves a send that runs, says so with its exit code, and takes it once it has ended', async ({
    start,
    sandbox,
    url,
    path,
    run,
  }) => {
    const gateway = await start({ env: { STORE_URL: url, AFILNET_TIMEOUT_MS: '10000' } })
    await say(gateway, 'done', number)
    sandbox.latencyMs = 4_000
    const running = say(gateway, 'running', number)
    await sandbox.called(2)
    const early = await run(['forget', number])
    expect((await running).status).toBe(201)
    const late = await run(['forget', number])

    expect({ code: early.code, ...figures(early.stdout) }).toEqual({ code: 1, gone: 1, pending: 1 })
    expect({ code: late.code, ...figures(late.stdout) }).toEqual({ code: 0, gone: 1, pending: 0 })
    expect(early.stdout + early.stderr + late.stdout + late.stderr).not.toContain(number)
    for (const bytes of bytesOf(path)) expect(bytes.includes(number)).toBe(false)
  })

  test('takes what a gateway that died has left pending', async ({ path, open, run }) => {
    const store = await open(path)
    await store.load([{ ...send({ destination: number }), state: 'pending' }])

    const { code, stdout } = await run(['forget', number])
    expect({ code, ...figures(stdout) }).toEqual({ code: 0, gone: 1, pending: 0 })
  })

  test('waits for others, and says what is left when they take too long', async ({ path, open, run }) => {
    const store = await open(path)
    await store.load([settled({ destination: number })])
    const db = new DatabaseSync(path)
    db.exec('BEGIN; SELECT * FROM sends') // a reader: the log cannot be emptied

    const { code, stderr } = await run(['forget', number])
    expect(code).toBe(1)
    expect(stderr).toContain('traces of them are left in the file')
    db.close()
    expect(await run(['forget', number])).toMatchObject({ code: 0 })
    for (const bytes of bytesOf(path)) expect(bytes.includes(number)).toBe(false)
  })
})

describe('npm run store -- export', () => {
  test('prints every send as a line of JSON, and never the secret', async ({ path, open, run }) => {
    const rows = Array.from({ length: 5_000 }, (_, n) => settled({ reference: `line\n${n}`, caller: n % 2 ? 'crm' : 'shop' }))
    const store = await open(path)
    await fill(store, rows)
    const secret = Buffer.from(await store.secret())
    const { code, stdout, stderr } = await run(['export'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.trimEnd().split('\n')
    expect(lines.map(line => JSON.parse(line))).toEqual(rows)
    for (const form of ['hex', 'base64', 'base64url', 'latin1'] as const) expect(stdout.includes(secret.toString(form))).toBe(false)
  })

  test('prints what was sent to one destination', async ({ path, open, run }) => {
    const theirs = [settled({ destination: number }), settled({ destination: number, caller: 'shop' })]
    await (await open(path)).load([...theirs, settled(), settled({ destination: `${number}0` })])

    for (const { stdout } of [
      await run(['export', '--destination', number]),
      await run(['export', '--destination', '-'], { input: `${number}\n` }),
    ])
      expect(
        stdout
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line)),
      ).toEqual(theirs)
  })

  test('holds still for a slow reader, and ends in silence when it leaves', async ({ path, open, command }) => {
    const store = await open(path)
    await fill(
      store,
      Array.from({ length: 20_000 }, () => settled({ answer: 'x'.repeat(1_000) })),
    )
    const { child, exited } = command(['export'])
    const stderr = child.stderr.toArray()
    await once(child.stdout, 'readable')
    expect(child.exitCode).toBe(null) // 20 MB fit into no pipe
    child.stdout.destroy()

    expect(await exited).toEqual([0, null])
    expect(await stderr).toEqual([])
  })

  test.skipIf(!existsSync('/dev/full'))('says that the disk it writes to is full (needs /dev/full)', async ({ path, url, open }) => {
    await (await open(path)).load([settled()])
    const full = openSync('/dev/full', 'w')
    const child = spawn(process.execPath, ['src/cli/store.ts', 'export'], { env: { STORE_URL: url }, stdio: ['ignore', full, 'pipe'] })
    const [stderr, [code]] = await Promise.all([child.stderr?.toArray(), once(child, 'exit')])
    closeSync(full)

    expect([code, stderr?.join('')]).toEqual([1, 'The output cannot be written (ENOSPC)\n'])
  })
})

describe('npm run store -- check', () => {
  test('counts what is there', async ({ path, open, run }) => {
    const old = Date.parse('2026-01-02T03:04:05.678Z')
    const store = await open(path)
    await store.load([
      settled({ createdAt: old }),
      settled({ createdAt: old + 1_000 }),
      settled({ state: 'unknown', createdAt: old + 500 }),
    ])
    const { code, stdout, stderr } = await run(['check'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(figures(stdout)).toMatchObject({ sends: 3, accepted: 2, unknown: 1, pending: 0, rejected: 0, not_sent: 0 })
    expect(stdout).toMatch(/problems +none\n/)
    expect(stdout).toMatch(/oldest +2026-01-02T03:04:05.678Z\nnewest +2026-01-02T03:04:06.678Z\n/)
  })

  test.for([
    [
      'an index that lost rows',
      (path: string) => tamper(path, 'DELETE FROM sends WHERE rowid % 7 = 0'),
      /missing from index|wrong # of entries/,
    ],
    ['pages that are not ours', (path: string) => overwrite(path, -3 * 4_096), /Tree \d+|malformed|damaged/],
    ['a beginning that is not ours', (path: string) => overwrite(path, 0), /damaged, or no database/],
  ] as const)('finds %s', async ([, damage, words], { path, open, run }) => {
    const store = await open(path)
    await fill(
      store,
      Array.from({ length: 500 }, (_, n) => settled({ idempotencyKey: `k${n}` })),
    )
    await store.close()
    damage(path)
    const { code, stdout, stderr } = await run(['check'])

    expect(code).toBe(1)
    expect(stdout + stderr).toMatch(words)
    expect(stdout).not.toMatch(/problems +none/)
  })
})

/** Changes the table behind the back of an index. */
function tamper(path: string, sql: string) {
  const db = new DatabaseSync(path)
  const index = "type = 'index' AND name = 'sendsByCaller'"
  const { sql: made } = db.prepare(`SELECT sql FROM sqlite_schema WHERE ${index}`).get() as { sql: string } // made by us
  const { rootpage } = db.prepare(`SELECT rootpage FROM sqlite_schema WHERE ${index}`).get() as { rootpage: number }
  db.enableDefensive(false)
  db.exec(`PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE ${index}`)
  db.close()
  const blind = new DatabaseSync(path)
  blind.enableDefensive(false)
  blind.exec(sql)
  blind.exec('PRAGMA writable_schema = ON')
  blind.prepare("INSERT INTO sqlite_schema VALUES ('index', 'sendsByCaller', 'sends', ?, ?)").run(rootpage, made)
  blind.close()
}

function overwrite(path: string, from: number) {
  const bytes = readFileSync(path)
  const start = from < 0 ? bytes.length + from : from
  writeFileSync(path, bytes.fill('?', start, start + 3 * 4_096))
}

describe.skipIf(noServer)('npm run store with a server (needs redis-server)', () => {
  test('checks, exports and forgets, and shows neither user nor password', async ({ server, run }) => {
    server.cli('CONFIG', 'SET', 'requirepass', 'fake-canary-server-password')
    const STORE_URL = server.url(1).replace('//', '//:fake-canary-server-password@')
    const store = await openStore(STORE_URL, policy)
    await store.load([settled({ destination: number }), settled(), { ...send(), state: 'pending' }])
    await store.close()
    const env = { STORE_URL }

    const outputs = [
      await run(['check'], { env }),
      await run(['export'], { env }),
      await run(['forget', '-'], { env, input: `${number}\n` }),
      await run(['export'], { env }),
    ]

    expect(outputs.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    expect(outputs[0]?.stdout).toMatch(/sends +3\n/)
    expect(outputs[1]?.stdout).toContain(number)
    expect(outputs[2]?.stdout).toMatch(/gone +1\n/)
    expect(outputs[3]?.stdout).not.toContain(number)
    expect(server.cli('-a', 'fake-canary-server-password', '--scan')).not.toContain(number)
    expect(JSON.stringify(outputs)).not.toContain('fake-canary')
  })

  test('says what ails a server in words of servers, and makes no ledger where none is', async ({ server, run }) => {
    const empty = await run(['check'], { env: { STORE_URL: server.url(2) } })
    await server.kill()
    const away = await run(['check'], { env: { STORE_URL: server.url(2) } })

    expect(empty).toMatchObject({ code: 1, stdout: '', stderr: 'STORE_URL: there is no ledger at this place\n' })
    expect(away).toMatchObject({ code: 1, stdout: '' })
    expect(away.stderr).toMatch(/^STORE_URL: it cannot be reached\. Check host, port/)
  })
})

describe('npm run store', () => {
  test.for([
    [],
    ['chekc'],
    ['check', number],
    ['copy', 'sqlite:a'],
    ['forget'],
    ['forget', number, number],
    ['check', '--destination', number],
  ])('shows how it is used when it is not: %s', async (args, { run, path }) => {
    const { code, stdout, stderr } = await run(args)

    expect([code, stdout]).toEqual([78, ''])
    expect(stderr).toContain('npm run -s store -- copy FROM TO')
    expect(stderr).not.toContain(number)
    expect(existsSync(path)).toBe(false)
  })

  test('shows how it is used when asked', async ({ run }) => {
    expect(await run(['--help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('npm run -s store -- copy FROM TO'),
      stderr: '',
    })
  })

  test('refuses an empty destination, which would be a mistake', async ({ run }) => {
    for (const args of [
      ['forget', '-'],
      ['export', '--destination', '-'],
    ])
      expect(await run(args, { input: '\n' })).toMatchObject({ code: 78, stdout: '' })
  })

  const errands = [['check'], ['export'], ['forget', number]]

  test('makes no ledger where none is', async ({ run, url, path }) => {
    for (const args of [...errands, ['copy', url, `sqlite:${path}.copy`]]) {
      expect(await run(args)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('there is no ledger at this place') })
    }
    expect([existsSync(path), existsSync(`${path}.copy`)]).toEqual([false, false])
  })

  test('refuses a ledger in memory, which would be an empty one', async ({ run, url }) => {
    for (const args of [...errands, ['copy', 'sqlite::memory:', url]])
      expect(await run(args, { env: { STORE_URL: 'sqlite::memory:' } })).toMatchObject({ code: 78, stdout: '' })
  })

  test('refuses a ledger of a newer release, and does not touch it', async ({ run, url, path, open }) => {
    await (await open(path)).close()
    const db = new DatabaseSync(path)
    db.exec('PRAGMA user_version = 99')
    db.close()
    const before = readFileSync(path)

    for (const args of [...errands, ['copy', url, `sqlite:${path}.copy`], ['copy', `sqlite:${path}.from`, url]]) {
      await (await open(`${path}.from`)).load([settled()])
      expect(await run(args)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('schema version 99') })
    }
    expect(readFileSync(path)).toEqual(before)
  })

  test('leaves a ledger of an older release to its gateway, but copies it', async ({ run, url, path }) => {
    copyFileSync(join(import.meta.dirname, '..', 'store', 'fixtures', 'version-1.sqlite'), path)
    const before = readFileSync(path)

    for (const args of errands) expect(await run(args)).toMatchObject({ code: 1, stderr: expect.stringContaining('of an older release') })
    expect(readFileSync(path)).toEqual(before)
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])
    expect({ code, ...figures(stdout) }).toMatchObject({ code: 0, read: 5, taken: 5 })
  })

  test('needs the variables of the ledger and no others, and names what is wrong with them', async ({ run, path, open }) => {
    await (await open(path)).load([settled()])
    writeFileSync(`${path}.url`, `sqlite:${path}\n`)

    expect(await run(['check'], { env: { STORE_URL: '', STORE_URL_FILE: `${path}.url`, PORT: 'x' } })).toMatchObject({ code: 0 })
    expect(await run(['check'], { env: { SENDS_KEEP_HOURS: 'x', STORE_MAX_MB: '0' } })).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/SENDS_KEEP_HOURS: expected(?:.|\n)*STORE_MAX_MB: expected/),
    })
  })

  test.for(['redis://user:PASSWORD@127.0.0.1:1/0', 'mysql://PASSWORD@127.0.0.1:1', 'sqlite://PASSWORD'])(
    'never repeats the password of a URL: %s',
    async (form, { dir, url, path, open, run }) => {
      await (await open(path)).load([settled()])
      const secret = 'fake-canary-secret'
      const bad = form.replace('PASSWORD', secret)
      writeFileSync(join(dir, 'bad'), bad)
      const errand = (args: string[], env: Environment = {}) => run(args, { env })

      for (const { code, stdout, stderr } of [
        await errand(['copy', bad, url]),
        await errand(['copy', url, bad]),
        await errand(['copy', url, `@${join(dir, 'bad')}`]),
        await errand(['copy', url, `@${bad}`]),
        await errand([bad]),
        await errand(['check', `--${bad}`]),
        ...(await Promise.all(errands.map(args => errand(args, { STORE_URL: bad })))),
      ]) {
        expect([1, 78]).toContain(code)
        expect(stdout + stderr).not.toContain(secret)
        expect(stdout + stderr).not.toContain(hash('sha256', secret))
        expect(stdout + stderr).not.toContain(number)
      }
    },
  )
})
