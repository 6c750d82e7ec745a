import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { reportingUndelivered } from '../../src/media/undelivered.ts'
import { openStore } from '../../src/store/open.ts'
import { type StartOptions, type TestGateway, test } from '../gateway.ts'
import { chat, error, say, settled } from '../routes/sending.ts'
import { crm, ended, policy, send } from '../store/sends.ts'
import { fetched, namesIn, postForm, samples } from './forms.ts'

const files = `${chat}/files`
const queued = { prefer: 'respond-async' }
const keyOf = (n: number) => Buffer.alloc(32, n).toString('base64')

/** A gateway with a queue whose ledger and files another one can take over. */
async function withQueue(start: (options?: StartOptions) => Promise<TestGateway>) {
  const folder = await mkdtemp(join(tmpdir(), 'undelivered-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const media = join(folder, 'media')
  const env = { STORE_URL: `sqlite:${join(folder, 'ledger.sqlite')}`, MEDIA_STORE: `file:${media}`, MEDIA_MAX_MB: '1', QUEUE_KEY: keyOf(7) }
  return { gateway: await start({ env }), env, names: () => namesIn(media) }
}
const post = (gateway: TestGateway, headers: Record<string, string> = queued) =>
  postForm(
    gateway,
    files,
    [
      ['file', Buffer.concat([samples.png, randomBytes(700_000)])],
      ['thumb', samples.gif],
    ],
    headers,
  )
const patience = { timeout: 40_000 }

describe('The file of a form', () => {
  test('goes when Afilnet rejects its queued send, and makes room', async ({ start, sandbox }) => {
    const { gateway, names } = await withQueue(start)
    const kept = await postForm(gateway, '/media', [['file', samples.pdf]])
    sandbox.answer({ method: 'sendfile', body: error('INCORRECT_FILETYPE') })
    const rejected = await post(gateway)
    await settled(gateway, rejected.json.id, 'rejected')
    await expect.poll(names, patience).toEqual([kept.json.id])
    const accepted = await post(gateway)
    await settled(gateway, accepted.json.id, 'accepted')

    expect([rejected.status, accepted.status]).toEqual([202, 202])
    const [, sent] = sandbox.calls.map(({ params }) => Object.fromEntries(params))
    expect((await fetched(sent?.fileurl ?? '')).bytes.subarray(0, samples.png.length)).toEqual(samples.png)
    expect((await fetched(sent?.thumburl ?? '')).bytes).toEqual(samples.gif)
  })

  test('of POST /media stays, whatever becomes of its sends', async ({ start, sandbox }) => {
    const { gateway, names } = await withQueue(start)
    const { id, url } = (await postForm(gateway, '/media', [['file', samples.png]])).json
    sandbox.answer({ method: 'sendfile', body: error('INCORRECT_FILETYPE') })
    const send = await gateway.post(files, { type: 'image', fileUrl: url }, queued)
    await settled(gateway, send.json.id, 'rejected')
    sandbox.answer({ method: 'sendfile', body: error('INCORRECT_FILETYPE') })
    await settled(gateway, (await post(gateway)).json.id, 'rejected')

    await expect.poll(names, patience).toEqual([id]) // the files of the form have gone
    expect((await fetched(url)).status).toBe(200)
  })

  test('goes when its queued send is canceled, or its key is lost', async ({ start, sandbox }) => {
    const { gateway, env, names } = await withQueue(start)
    sandbox.answer({ status: 429, headers: { 'retry-after': '60' } })
    await say(gateway, queued) // the first of its conversation holds the others up
    await sandbox.called(1)
    const canceled = await post(gateway)
    expect(names()).toHaveLength(2)
    const { status } = await gateway.request(`/sends/${canceled.json.id}`, { method: 'DELETE' })
    await expect.poll(names, patience).toEqual([])
    const lost = await post(gateway)
    await gateway.drain()
    expect([status, names().length]).toEqual([200, 2])

    const next = await start({ env: { ...env, QUEUE_KEY: keyOf(8) } })
    await settled(next, lost.json.id, 'not_sent')
    await expect.poll(names, patience).toEqual([])
    expect(sandbox.calls, 'only the first was tried').toHaveLength(1)
  })

  test('of a send that may have arrived goes when a person says that it has not, unless another send uses it', async ({
    start,
    sandbox,
  }) => {
    const { gateway, names } = await withQueue(start)
    const lose = async () => {
      sandbox.answer({ method: 'sendfile', fault: 'drop' })
      return (await postForm(gateway, files, [['file', samples.gif]])).json.sendId
    }
    const [alone, shared] = [await lose(), await lose()]
    expect(names()).toHaveLength(2)
    const fileUrl = Object.fromEntries(sandbox.calls[1]?.params ?? []).fileurl
    expect((await gateway.post(files, { type: 'image', fileUrl })).status).toBe(201)
    for (const id of [alone, shared]) await gateway.post(`/sends/${id}/settle`, { state: 'rejected' })

    await expect.poll(names, patience).toHaveLength(1)
    expect((await fetched(fileUrl ?? '')).bytes).toEqual(samples.gif)
  })
})

test('sends of files that end undelivered are reported, also those that expire and those whose end is offered twice', async () => {
  const clock = { ms: 1_000 }
  const opened = await openStore('sqlite::memory:', { ...policy, now: () => clock.ms, monotonic: () => clock.ms })
  onTestFinished(() => opened.close())
  const reported: string[] = []
  const store = reportingUndelivered(opened, id => reported.push(id))
  const claim = async (kind: 'file' | 'message', destination: string) => {
    const row = send({ kind, destination, dueAt: 2_000, expiresAt: 9_000 })
    await store.claim(row, undefined, 'key.body')
    return row
  }
  const [rejected, message, accepted] = [await claim('file', '1'), await claim('message', '2'), await claim('file', '3')]
  clock.ms = 2_000
  await store.takeDue('first', 10)
  const late = [await claim('file', '4'), await claim('message', '5')]
  await store.settle(accepted, ended('accepted'))
  await store.settle(accepted, ended('rejected')) // which it is not any more
  await store.settle(message, ended('rejected'))
  await store.settle(rejected, ended('rejected'))
  await store.settle(rejected, ended('rejected'))
  clock.ms = 9_000
  await store.takeDue('first', 10)

  expect(reported).toEqual([rejected.id, rejected.id, late[0]?.id])
  expect(await store.find(crm, late[0]?.id ?? '')).toMatchObject({ state: 'expired' })
})
