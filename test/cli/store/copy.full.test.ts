import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import type { SendRow } from '../../../src/store/store.ts'
import { crm, ended, send } from '../../store/sends.ts'
import { dumpOf, figures, fill, say, settled, test } from './command.ts'

describe('npm run store -- copy', () => {
  test('keeps the keys: a gateway on the copy replays what one on the original has sent', async ({ start, sandbox, url, path, run }) => {
    const original = await start({ env: { STORE_URL: url } })
    const [first, other] = [await say(original, 'k'), await say(original, 'CHAT_NOT_FOUND', 'CHAT_NOT_FOUND')]
    await original.drain()
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])
    const gateway = await start({ env: { STORE_URL: `sqlite:${path}.copy` } })
    const again = await say(gateway, 'k')

    expect(code).toBe(0)
    expect(figures(stdout)).toMatchObject({ read: 2, copied: 2, left: 0 })
    expect(again).toMatchObject({ status: 201, text: first.text, headers: { 'idempotency-replayed': 'true' } })
    expect((await say(gateway, 'CHAT_NOT_FOUND', 'CHAT_NOT_FOUND')).text).toBe(other.text)
    expect(await say(gateway, 'k', '34600000000', 'Another text')).toMatchObject({ status: 422, json: { code: 'idempotency-key-reused' } })
    expect((await gateway.get('/sends')).json.items).toHaveLength(2)
    expect(sandbox.calls).toHaveLength(2)
  })

  test('killed in the middle and run again ends with every send, once', async ({ url, path, open, program, run }) => {
    const rows = Array.from({ length: 30_000 }, (_, n) => settled({ idempotencyKey: `k${n}` }))
    const source = await open(path)
    await fill(source, rows)
    const target = await open(`${path}.copy`)
    const { child, exited } = program(['copy', url, `sqlite:${path}.copy`])
    await expect.poll(() => target.dump(), { interval: 5 }).not.toEqual([])
    const db = new DatabaseSync(`${path}.copy`, { timeout: 40_000 })
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
    expect(figures(stdout)).toMatchObject({ read: 30_000, copied: 30_000 - left.length, left: left.length })
    expect(await dumpOf(target)).toEqual(rows)
    expect(await target.secret()).toEqual(await source.secret())
    expect(await source.check()).toMatchObject({ problems: [] })
  })

  test('warns of sends that still run, and brings how they ended with the next copy', async ({ url, path, open, run }) => {
    const [source, target] = [await open(path), await open(`${path}.copy`)]
    const [running, other, lost, found] = [0, 1, 2, 3].map(() => send({ createdAt: Date.now() })) as [SendRow, SendRow, SendRow, SendRow] // four
    for (const row of [running, other, lost, found]) await source.claim(row)
    const early = await run(['copy', url, `sqlite:${path}.copy`])
    await source.settle(running, ended('accepted', Date.now()))
    await source.settle(other, ended('rejected', Date.now()))
    await source.settle(lost, ended('unknown', Date.now()))
    await source.settle(lost, { ...ended('accepted', Date.now()), settledBy: 'caller', note: 'The customer has it' })
    await source.settle(found, ended('unknown', Date.now()))
    await source.settle(found, { ...ended('accepted', Date.now()), settledBy: 'read-back' })
    const late = await run(['copy', url, `sqlite:${path}.copy`])

    expect(early).toMatchObject({ code: 0, stdout: expect.stringContaining('Warning: 4 sends of FROM are pending') })
    expect(late).toMatchObject({ code: 0, stdout: expect.not.stringContaining('Warning') })
    expect(figures(late.stdout)).toMatchObject({ read: 4, copied: 0, left: 4, settled: 4 })
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
        await source.settle(row, ended('accepted', Date.now()))
      }
    })()
    const during = await run(['copy', url, `sqlite:${path}.copy`])
    running = false
    await sending
    const after = await run(['copy', url, `sqlite:${path}.copy`])

    expect(during).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/Warning: \d+ sends of FROM are pending, and \d+ were added/),
    })
    expect(after).toMatchObject({ code: 0, stderr: '', stdout: expect.not.stringContaining('Warning') })
    expect(await dumpOf(target)).toEqual(await dumpOf(source))
  })

  test('leaves out a send whose key another one holds there, and says so', async ({ url, path, open, run }) => {
    const [source, target] = [await open(path), await open(`${path}.copy`)]
    const holder = settled({ idempotencyKey: 'k' })
    await target.adopt(await source.secret())
    await target.load([holder, settled(), settled()])
    await source.load([settled({ idempotencyKey: 'k' }), settled()])
    const { code, stdout } = await run(['copy', url, `sqlite:${path}.copy`])

    expect(code).toBe(0)
    expect(figures(stdout)).toMatchObject({ read: 2, copied: 1, left: 0 })
    expect(stdout).toContain('1 whose key another send holds in TO')
    expect(stdout).not.toContain('Warning')
    expect(await target.list(crm, { idempotencyKey: 'k', limit: 10 })).toEqual([holder])
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
