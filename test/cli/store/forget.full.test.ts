import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import { send } from '../../store/sends.ts'
import { dumpOf, figures, number, say, settled, test } from './command.ts'

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
    expect(gateway.log.filter(({ level, msg }) => Number(level) >= 40 && !String(msg).startsWith('the ledger is new'))).toEqual([])
    const rest = await dumpOf(await open(path))
    expect(rest).toHaveLength(20 + posts.length)
    for (const bytes of bytesOf(path)) expect(bytes.includes(number)).toBe(false)
  })

  test('erases a number however it is written, and the name as it is on other platforms', async ({ path, open, run }) => {
    const written = '+34 699-999-999'
    const store = await open(path)
    const theirs = [
      settled({ destination: number }),
      settled({ destination: written, platform: 'telegram' }),
      settled({ destination: written }),
    ]
    await store.load([...theirs, settled()])

    const { code, stdout, stderr } = await run(['forget', '-'], { input: `${written}\n` })
    expect({ code, stderr, ...figures(stdout) }).toEqual({ code: 0, stderr: '', gone: 3, pending: 0 })
    expect(await dumpOf(store)).toMatchObject([{ destination: '34600000000' }])
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
