import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { describe, expect } from 'vitest'
import type { Scope } from '../../src/access.ts'
import { readConfig } from '../../src/config/config.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { canaries, environment, hold, readAnswers, requestsInFlight, type TestGateway, sharedTest as test } from '../gateway.ts'
import { namesIn, postForm, samples } from '../media/forms.ts'

const chat = '/chats/whatsapp/100/34600000000'
const ask = (line: string, body: string, { key = canaries.key, headers = '' } = {}) =>
  `${line} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${key}\r\n${headers}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
const hello = '{"message":"Hello"}'
const end = 'GET /me HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n'
const form = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nHello\r\n--b--\r\n'
const upload = (path: string) => ask(`POST ${path}`, form).replace('application/json', 'multipart/form-data; boundary=b')

/** With it, a stream has no end of its own. */
const watching = { EVENTS_CHANNELS: 'telegram/7' }
const stream = ask('GET /events', '', { headers: 'Accept: text/event-stream\r\n' })

type Changes = { channels?: string; disabled?: boolean; scopes?: Scope[]; account?: string }

/** Ends the streams of the caller by what changes. */
async function reload(gateway: TestGateway, sandbox: Sandbox, { channels = watching.EVENTS_CHANNELS, ...changes }: Changes) {
  const config = readConfig({ ...environment(sandbox), EVENTS_CHANNELS: channels })
  const { default: caller = expect.fail() } = config.callers
  const { default: account = expect.fail() } = config.accounts
  const accounts = changes.account === undefined ? config.accounts : { ...config.accounts, [changes.account]: account }
  await gateway.reload({ ...config, accounts, callers: { default: { ...caller, ...changes } } })
}

describe('A request whose body arrives after a reload', () => {
  test.for<[string, Changes, number]>([
    ['has disabled its caller', { disabled: true }, 401],
    ['has taken the scope away', { scopes: ['messages:read'] }, 403],
    ['has moved its key to another account', { account: 'other' }, 401],
    ['has changed other things', { channels: 'telegram/8' }, 201],
  ])('that %s goes by its rights now', async ([, changes, status], { start, folder, sandbox }) => {
    const gateway = await start({ env: { MEDIA_STORE: `file:${folder}` }, alone: true })
    const halves = [ask(`POST ${chat}/messages`, hello), upload(`${chat}/files`)].map(text => {
      const socket = gateway.open()
      socket.write(text.slice(0, -5))
      return { answer: once(socket.setEncoding('utf8'), 'data'), finish: () => socket.write(text.slice(-5)) }
    })
    await expect.poll(() => requestsInFlight(gateway)).toBe(2)
    await reload(gateway, sandbox, changes)
    for (const { finish } of halves) finish()
    const answers = await Promise.all(halves.map(({ answer }) => answer))

    expect(answers.map(([text]) => readAnswers(String(text))[0]?.status)).toEqual([status, status])
    expect(sandbox.sent).toHaveLength(status === 201 ? 2 : 0)
    expect(namesIn(folder)).toHaveLength(status === 201 ? 1 : 0)
  })
})

describe('Requests that a caller writes one behind the other', () => {
  test('change something in their order, each after the answer before it', async ({ gateway, sandbox }) => {
    sandbox.answer({ delayMs: 100 })
    const send = ask(`POST ${chat}/messages`, hello, { headers: 'Idempotency-Key: order-4711\r\n' })
    const answers = readAnswers(await gateway.raw(send + send + end))

    expect(answers.map(({ status }) => status)).toEqual([201, 201, 401])
    expect(answers[1]?.headers['idempotency-replayed']).toBe('true')
    expect(answers[1]?.text).toBe(answers[0]?.text)
    expect(sandbox.sent).toHaveLength(1)
  })

  test.for([
    [400, '{"message"'],
    [413, JSON.stringify({ message: 'x'.repeat(70_000) })],
  ] as const)(
    'end with an answer that closes the connection: after %i nothing reaches Afilnet',
    async ([status, body], { gateway, sandbox }) => {
      const answers = readAnswers(
        await gateway.raw(ask(`POST ${chat}/messages`, body) + ask(`POST ${chat}/messages`, hello) + ask(`GET ${chat}/unread`, '')),
      )

      expect(answers).toMatchObject([{ status, headers: { connection: 'close' } }])
      expect(sandbox.calls).toEqual([])
      expect((await gateway.get('/sends')).json.items).toEqual([])
    },
  )

  test('end with the answer that was due when a drain began', async ({ start, sandbox }) => {
    const gateway = await start({ alone: true })
    const release = hold(sandbox)
    const answers = gateway.raw(ask(`POST ${chat}/messages`, hello) + ask(`POST ${chat}/messages`, hello))
    await sandbox.called(1)
    const drained = gateway.drain()
    await expect.poll(async () => (await gateway.get('/me')).json.code).toBe('draining')
    release()
    await drained

    expect(readAnswers(await answers)).toMatchObject([{ status: 201, headers: { connection: 'close' } }])
    expect(sandbox.sent).toHaveLength(1)
  })

  test('end with one that took too long to arrive', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts: { requestMs: 100, checkEveryMs: 20 } })
    const release = hold(sandbox, { method: 'getmessages' })
    const socket = gateway.open()
    const closed = once(socket, 'close')
    let text = ''
    socket.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    const late = ask(`POST ${chat}/messages`, hello)
    socket.write(ask(`GET ${chat}/messages`, '') + late.slice(0, -5))
    // Two later ones have had their answers by then, so the one before has its own, which waits.
    for (let i = 0; i < 2; i++) expect(await gateway.raw(late.slice(0, -5))).toContain('408')
    socket.write(late.slice(-5) + ask(`POST ${chat}/messages`, hello))
    release()
    await closed

    expect(readAnswers(text).map(({ status }) => status)).toEqual([200, 408])
    await gateway.post('/chats/whatsapp/100/34600000001/messages', { message: 'Hello' }) // another send would have come before it
    expect(sandbox.sent.map(({ destination }) => destination)).toEqual(['34600000001'])
    expect(gateway.log.filter(({ aborted }) => aborted)).toHaveLength(1)
  })

  test('are answered if they stand before the one whose answer closes the connection', async ({ gateway, sandbox }) => {
    const named = { chat: { platform: 'whatsapp', platformId: '100', destination: '34600000000' }, scopes: ['messages:send'] }
    const { token: key } = (await gateway.post('/tokens', named)).json // takes longer to check than a key
    const answers = readAnswers(
      await gateway.raw(ask(`POST ${chat}/messages`, hello, { key }) + ask(`POST ${chat}/messages`, '{"message"')),
    )

    expect(answers.map(({ status }) => status)).toEqual([201, 400])
    expect(sandbox.sent).toHaveLength(1)
  })

  test('are refused beyond 64 that wait, each after the answers before it', async ({ gateway, sandbox }) => {
    const sends = ask(`POST ${chat}/messages`, hello).repeat(70)
    const answers = readAnswers(await gateway.raw(ask(`GET ${chat}/messages`, '') + sends + end))

    const statuses = answers.map(({ status }) => status)
    expect(statuses).toEqual([200, ...Array(64).fill(201), ...Array(6).fill(503), 401])
    expect(answers[65]?.json).toMatchObject({ code: 'overloaded', outcome: 'not_applied', retry: 'yes' })
    expect(sandbox.sent).toHaveLength(64)
  })

  test('are refused while 1,024 wait on other connections', async ({ start, sandbox }) => {
    const gateway = await start({ env: watching, alone: true })
    for (let i = 0; i < 17; i++) gateway.open().write(stream + ask(`POST ${chat}/messages`, hello).repeat(64))
    await expect.poll(() => requestsInFlight(gateway)).toBe(17 * 64)
    sandbox.answer({ method: 'getmessages', delayMs: 200 })
    const answers = readAnswers(await gateway.raw(ask(`GET ${chat}/messages`, '') + ask(`POST ${chat}/messages`, hello) + end))

    expect(answers.map(({ status }) => status)).toEqual([200, 503, 401])
    expect(await gateway.post(`${chat}/messages`, { message: 'Hello' })).toMatchObject({ status: 201 })
    await reload(gateway, sandbox, { disabled: true }) // nothing is sent at the end of the test
    await expect.poll(() => requestsInFlight(gateway)).toBe(0)
    await reload(gateway, sandbox, {})
    const after = readAnswers(await gateway.raw(ask('GET /me', '') + ask(`POST ${chat}/messages`, hello) + end))
    expect(after.map(({ status }) => status)).toEqual([200, 201, 401])
  })

  test('are cut where their answers pile up unread, while others are answered', async ({ start }) => {
    const gateway = await start({ alone: true, timeouts: { readerMs: 3_600_000 } })
    const requests = 'GET /problems HTTP/1.1\r\nHost:a\r\n\r\n'.repeat(5_000) // more answers than the kernel keeps for a connection
    for (let i = 0; i < 8; i++) gateway.open().pause().write(requests)
    await gateway.logged(({ aborted }) => aborted === true)
    const answers = readAnswers(await gateway.raw(ask('GET /me', '').repeat(64) + end))

    expect(answers.map(({ status }) => status)).toEqual([...Array(64).fill(200), 401])
    expect(await requestsInFlight(gateway)).toBeLessThanOrEqual(8_192)
  })

  test('keep no more files than may arrive at one time', async ({ start, folder, sandbox }) => {
    const gateway = await start({ env: { ...watching, MEDIA_STORE: `file:${folder}` }, alone: true })
    const socket = gateway.open().setEncoding('utf8')
    let text = ''
    socket.on('data', chunk => {
      text += chunk
    })
    socket.write(stream)
    for (let files = 1; files <= 32; files++) {
      socket.write(upload(files % 2 ? '/media' : `${chat}/files`))
      await expect.poll(() => namesIn(folder), { interval: 1 }).toHaveLength(files)
    }
    socket.write(upload('/media'))
    await expect.poll(() => requestsInFlight(gateway)).toBe(33)
    await reload(gateway, sandbox, { channels: 'telegram/8' })

    const answered = (status: number) => text.split(`HTTP/1.1 ${status} `).length - 1
    await expect.poll(() => [answered(201), answered(503)]).toEqual([32, 1])
    for (const path of ['/media', `${chat}/files`]) {
      const replies = await Promise.all(Array.from({ length: 32 }, () => postForm(gateway, path, [['file', samples.text]])))
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]))
    }
  })

  test('keep a file no longer than an upload may take', async ({ start, folder, sandbox }) => {
    const gateway = await start({ env: { ...watching, MEDIA_STORE: `file:${folder}` }, alone: true, timeouts: { uploadMs: 500 } })
    const socket = gateway.open().setEncoding('utf8')
    let text = ''
    socket.on('data', chunk => {
      text += chunk
    })
    socket.write(stream + upload('/media'))
    await expect.poll(() => namesIn(folder), { interval: 1 }).toHaveLength(1)
    await expect.poll(() => namesIn(folder)).toHaveLength(0)
    await reload(gateway, sandbox, { channels: 'telegram/8' })

    await expect.poll(() => text).toMatch(/HTTP\/1.1 503 [\s\S]+"code":"overloaded"/)
    await gateway.get('/me')
    expect(namesIn(folder)).toHaveLength(0)
    expect(gateway.log.filter(({ level }) => Number(level) >= 40)).toEqual([])
  })

  test('read a file as it is in their turn', async ({ gateway, sandbox }) => {
    const { json } = await postForm(gateway, '/media', [['file', samples.text]])
    const release = hold(sandbox, { method: 'getmessages' })
    const answers = gateway.raw(ask(`GET ${chat}/messages`, '') + ask(`GET ${new URL(json.url).pathname}`, '') + end)
    await sandbox.called(1)
    await gateway.request(`/media/${json.id}`, { method: 'DELETE' })
    release()

    expect(readAnswers(await answers).map(({ status }) => status)).toEqual([200, 404, 401])
  })

  test('leave the caller as long as it takes to answer them, if one is ready sooner', async ({ start, sandbox }) => {
    const gateway = await start({ timeouts: { readerMs: 1_000, checkEveryMs: 20 } })
    sandbox.answer({ method: 'sendmessage', delayMs: 300, times: 5 })
    const sends = ask(`POST ${chat}/messages`, hello).repeat(5)
    const answers = readAnswers(await gateway.raw(sends + ask('GET /me', '') + end))

    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 200, 401])
  })

  test('are answered at the end of a stream, however long it takes', async ({ start, sandbox }) => {
    const gateway = await start({ env: watching, alone: true, timeouts: { readerMs: 100, checkEveryMs: 20 } })
    const socket = gateway.open()
    let text = ''
    socket.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    socket.write(stream + ask('GET /me', ''))
    await expect.poll(() => text).toContain('retry: 3000')
    await gateway.get('/events?wait=1')
    await reload(gateway, sandbox, { channels: 'telegram/8' })

    await expect.poll(() => text).toMatch(/HTTP\/1.1 200 [\s\S]+HTTP\/1.1 200 [\s\S]+"caller":"default"/)
  })

  test.for([
    ['was disabled', { disabled: true }, 401],
    ['lost its scope', { scopes: ['events:read'] }, 403],
  ] as [string, Changes, number][])(
    'send nothing with a key that %s while they waited',
    async ([, changes, status], { start, sandbox }) => {
      const gateway = await start({ env: watching, alone: true })
      const socket = gateway.open()
      let text = ''
      socket.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      socket.write(stream + ask(`POST ${chat}/messages`, hello))
      await expect.poll(() => text).toContain('retry: 3000')
      await reload(gateway, sandbox, changes)

      await expect.poll(() => text).toMatch(/HTTP\/1.1 (201|401|403) /)
      expect(text).toContain(`HTTP/1.1 ${status} `)
      expect(sandbox.sent).toEqual([])
    },
  )

  test.for([
    ['nothing', ''],
    ['a tunnel', ask('CONNECT a:1', '')],
    ['half a request', ask(`POST ${chat}/messages`, hello).slice(0, -5)],
  ])('are over once the caller has left, behind them %s', async ([, last], { start, sandbox }) => {
    const gateway = await start({ alone: true })
    sandbox.answer({ method: 'getmessages', fault: 'silent' })
    const socket = gateway.open()
    socket.write(ask(`GET ${chat}/messages`, '') + ask('GET /me', '').repeat(3) + last)
    await sandbox.called(1)
    await expect.poll(() => requestsInFlight(gateway)).toBeGreaterThanOrEqual(4)
    socket.destroy()

    await sandbox.until(({ calls: [call] }) => call?.closedByPeer === true)
    await expect.poll(() => requestsInFlight(gateway)).toBe(0)
  })

  test('log no recipient if the caller leaves in the middle of one', async ({ start, sandbox }) => {
    const gateway = await start({ alone: true })
    const release = hold(sandbox, { method: 'getmessages' })
    const socket = gateway.open()
    socket.write(ask(`GET ${chat}/messages`, '') + ask(`POST ${chat}/messages`, hello).slice(0, -5))
    await sandbox.called(1)
    socket.destroy()
    release()
    await gateway.logged(({ method, aborted }) => method === 'POST' && aborted === true)
    await gateway.get('/me')

    expect(JSON.stringify(gateway.log)).not.toContain('34600000000')
  })

  test('for a file that was to come leave no error if the caller has left', async ({ start, sandbox }) => {
    const gateway = await start({ alone: true })
    const { json } = await postForm(gateway, '/media', [['file', samples.text]])
    sandbox.answer({ method: 'getmessages', fault: 'silent' })
    const socket = gateway.open()
    socket.write(ask(`GET ${chat}/messages`, '') + `HEAD ${new URL(json.url).pathname} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(3))
    await sandbox.called(1)
    socket.destroy()
    await expect.poll(() => gateway.log.filter(({ aborted }) => aborted === true)).toHaveLength(4)
    await gateway.get('/me')

    expect(gateway.log.filter(({ level }) => Number(level) >= 40)).toEqual([])
  })

  test('ask for no unread messages once the caller has left', async ({ gateway, sandbox }) => {
    sandbox.answer({ fault: 'silent' })
    const socket = gateway.open()
    socket.write(ask(`GET ${chat}/messages`, '') + ask(`GET ${chat}/unread`, ''))
    await expect.poll(() => sandbox.calls.length).toBe(1)
    socket.destroy()
    await gateway.logged(({ route, aborted }) => aborted === true && String(route).endsWith('/unread'))
    await gateway.get('/channels')

    expect(sandbox.calls.map(({ params }) => Object.fromEntries(params).method)).toEqual(['getmessages', 'getchatchannels'])
  })

  test('send what waits although the caller has left', async ({ gateway, sandbox }) => {
    sandbox.answer({ fault: 'silent' })
    const socket = gateway.open()
    socket.write(ask(`GET ${chat}/messages`, '') + ask(`POST ${chat}/messages`, hello))
    await sandbox.called(1)
    socket.destroy()

    await expect.poll(() => sandbox.sent).toMatchObject([{ message: 'Hello' }])
  })

  test('leave no file behind if they are dropped', async ({ start, folder, sandbox }) => {
    const gateway = await start({ env: { MEDIA_STORE: `file:${folder}` } })
    const release = hold(sandbox)
    const answers = gateway.raw(ask(`GET ${chat}/messages`, '') + ask(`POST ${chat}/messages`, '{"message"') + upload('/media'))

    await expect.poll(() => readdirSync(folder)).toHaveLength(1)
    release()
    expect(readAnswers(await answers).map(({ status }) => status)).toEqual([200, 400])
    await expect.poll(() => readdirSync(folder)).toEqual([])
  })
})
