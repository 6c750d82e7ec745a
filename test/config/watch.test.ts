import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/variables.ts'
import { watchConfig } from '../../src/config/watch.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { canaries, environment, hold, type StartOptions, type TestGateway, test } from '../gateway.ts'
import { startProgram } from '../program.ts'

const keys = { crm: 'fake-crm-key-0123456789', shop: 'fake-shop-key-0123456789', next: 'fake-next-key-0123456789' }
const send = (key: string, headers = {}) => ({
  method: 'POST',
  key,
  headers: { 'content-type': 'application/json', ...headers },
  body: '{"message":"Hello"}',
})

/** A folder with a configuration of one account and two callers, and the environment that names it. */
function files(sandbox: Sandbox) {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-reload-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const at = (name: string) => join(folder, name)
  const write = (name: string, content: string) => writeFileSync(at(name), content)
  const caller = (key: string) => ({ keySha256: [hash('sha256', key)], account: 'main', scopes: ['messages:send', 'channels:read'] })
  const content = {
    accounts: { main: { user: sandbox.user, password: { file: at('password') }, url: `${sandbox.url}/api/http/` } },
    callers: { crm: caller(keys.crm), shop: caller(keys.shop) } as Record<string, object>,
  }
  const config = (change: (file: typeof content) => void = () => {}) => {
    const copy = structuredClone(content)
    change(copy)
    write('config.json', JSON.stringify(copy))
  }
  write('password', canaries.password)
  config()
  const { AFILNET_USER, AFILNET_PASSWORD, AFILNET_URL, GATEWAY_KEY_SHA256, ...rest } = environment(sandbox)
  const env: Environment = { ...rest, GATEWAY_CONFIG: at('config.json') }
  return { at, write, config, caller, env }
}

const single = { AFILNET_USER: '', AFILNET_PASSWORD: '', AFILNET_URL: '', GATEWAY_KEY_SHA256: '' }
const open = async (start: (options: StartOptions) => Promise<TestGateway>, env: Environment) => {
  const gateway = await start({ env: { ...env, ...single } })
  const reload = gateway.watch(() => readConfig(env), 20)
  const reloaded = (fits: (line: Record<string, unknown>) => boolean = () => true) =>
    gateway.logged(line => line.msg === 'configuration reloaded' && fits(line))
  return { gateway, reload, reloaded }
}
const none = { added: [], removed: [], changed: [] }

describe('A changed configuration', () => {
  test('is reloaded as soon as the file changes, and the log names what changed', async ({ sandbox, start }) => {
    const { config, caller, env } = files(sandbox)
    const { gateway, reloaded } = await open(start, env)

    config(({ callers }) => {
      delete callers.shop
      callers.crm = { ...callers.crm, rateLimit: { requestsPerMinute: 5 } }
      callers.next = caller(keys.next)
    })
    const line = await reloaded()
    const replies = await Promise.all(Object.values(keys).map(key => gateway.request('/me', { key })))

    expect(line).toMatchObject({ accounts: none, callers: { added: ['next'], removed: ['shop'], changed: ['crm'] }, webhooks: none })
    expect(replies.map(({ status }) => status)).toEqual([200, 401, 200])
    expect(replies[0]?.headers['ratelimit-policy']).toBe('"requests";q=5;w=60')
    expect(JSON.stringify(gateway.log)).not.toMatch(/[0-9a-f]{64}/)
  })

  test('lets a disabled caller in no more, at its next request', async ({ sandbox, start }) => {
    const { config, env } = files(sandbox)
    const { gateway, reload } = await open(start, env)
    const before = await gateway.request('/me', { key: keys.crm })

    config(({ callers }) => {
      callers.crm = { ...callers.crm, disabled: true }
    })
    reload()
    const after = await gateway.request('/me', { key: keys.crm })

    expect([before.status, after.status]).toEqual([200, 401])
  })

  test('that is invalid keeps the previous one, is reported once in log and metrics, and readiness stays', async ({ sandbox, start }) => {
    const { write, config, env } = files(sandbox)
    const { gateway, reloaded } = await open(start, env)
    const metrics = async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()

    write('config.json', '{"accounts":{"main":{"user":"fake-canary"}},"callers":{')
    const line = await gateway.logged(({ msg }) => msg === 'configuration reload failed, keeping the previous one')
    const broken = await metrics()
    const replies = [await gateway.request('/me', { key: keys.crm }), await gateway.get('/health/ready')]
    config(({ callers }) => delete callers.shop)
    await reloaded()

    expect(line).toMatchObject({
      level: 50,
      issues: [{ path: 'GATEWAY_CONFIG', message: expect.stringMatching(/^is not valid JSON/) }],
    })
    expect(gateway.log.filter(({ level }) => level === 50)).toHaveLength(1)
    expect(JSON.stringify(gateway.log)).not.toContain('fake-canary')
    expect(broken).toMatch(/^gateway_config_reloads_total\{result="refused"\} 1$/m)
    expect(broken).toMatch(/^gateway_config_current 0$/m)
    expect(replies.map(({ status }) => status)).toEqual([200, 200])
    expect(await metrics()).toMatch(/^gateway_config_current 1$/m)
  })

  test('may be the content of a secret that Kubernetes swaps by a link', async ({ sandbox, start }) => {
    const { at, env, config } = files(sandbox)
    for (const [folder, password] of [
      ['first', 'fake-wrong-password'],
      ['second', canaries.password],
    ] as const) {
      mkdirSync(at(folder))
      writeFileSync(join(at(folder), 'password'), password)
    }
    symlinkSync('first', at('..data'))
    config(({ accounts }) => {
      accounts.main.password.file = join(at('..data'), 'password')
    })
    const { gateway, reloaded } = await open(start, env)
    const before = await gateway.request('/channels', { key: keys.crm })

    symlinkSync('second', at('..new'))
    renameSync(at('..new'), at('..data'))
    const line = await reloaded()
    const after = await gateway.request('/channels', { key: keys.crm })

    expect(before.json).toMatchObject({ status: 502, code: 'upstream-credentials-rejected' })
    expect(line).toMatchObject({ accounts: { ...none, changed: ['main'] }, callers: none })
    expect(after.status).toBe(200)
  })

  test('of a secret that counts after a restart only is read, and the log says that it is not used', async ({ sandbox, start }) => {
    const { at, write, env } = files(sandbox)
    write('store', env.STORE_URL ?? '')
    write('queue', Buffer.alloc(32, 1).toString('base64'))
    const { gateway, reloaded } = await open(start, { ...env, STORE_URL: '', STORE_URL_FILE: at('store'), QUEUE_KEY_FILE: at('queue') })

    write('queue', Buffer.alloc(32, 2).toString('base64'))
    await reloaded()

    const warnings = gateway.log.filter(({ level, msg }) => level === 40 && /restart/.test(String(msg)))
    expect(warnings.map(({ msg }) => msg)).toEqual(['QUEUE_KEY has changed, and the gateway still uses the former value: restart it'])
  })

  test('is waited for while a secret of it is missing', async ({ sandbox, start }) => {
    const { at, write, config, env } = files(sandbox)
    const { gateway, reloaded } = await open(start, env)

    config(({ accounts }) => {
      accounts.main.password.file = at('later')
    })
    const line = await gateway.logged(({ level }) => level === 50)
    const meanwhile = await gateway.request('/channels', { key: keys.crm })
    write('later', `${canaries.password}\n`)
    await reloaded()

    expect(line.issues).toEqual([{ path: 'accounts.main.password', message: 'the file does not exist' }])
    expect([meanwhile.status, (await gateway.request('/channels', { key: keys.crm })).status]).toEqual([200, 200])
  })

  test('fails no request under load, and each ends with the account that it began with', async ({ sandbox, start }) => {
    const other = await startSandbox({ password: 'fake-second-password' })
    onTestFinished(() => other.close())
    const { write, config, env } = files(sandbox)
    write('password-2', 'fake-second-password')
    const { gateway, reload } = await open(start, env)
    sandbox.latencyMs = 30
    other.latencyMs = 30
    const toOther = (is: boolean) =>
      config(({ accounts }) => {
        if (is)
          accounts.main = {
            ...accounts.main,
            password: { file: accounts.main.password.file.replace(/password$/, 'password-2') },
            url: `${other.url}/api/http/`,
          }
      })

    const statuses: number[] = []
    let reloading = true
    const load = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; reloading; i++) {
        const to = `/chats/whatsapp/100/34600${worker}/messages`
        statuses.push((await gateway.request(to, send(keys.crm, { 'idempotency-key': `${worker}-${i}` }))).status)
        statuses.push((await gateway.request('/channels', { key: keys.shop })).status)
      }
    })
    for (let i = 0; i < 40 || (i < 1_000 && Math.min(sandbox.sent.length, other.sent.length) === 0); i++) {
      toOther(i % 2 === 0)
      reload()
      // Not a read that could be shared: sends would keep step with it, and meet one account only.
      for (let j = 0; j <= i % 7; j++) await gateway.request('/me', { key: keys.shop })
    }
    reloading = false
    await Promise.all(load)

    expect(new Set(statuses)).toEqual(new Set([200, 201]))
    expect(sandbox.sent.length + other.sent.length).toBe(statuses.filter(status => status === 201).length)
    expect(Math.min(sandbox.sent.length, other.sent.length)).toBeGreaterThan(0)
  })

  test('does not change the account of a request that is still arriving', async ({ sandbox, start }) => {
    const other = await startSandbox({ password: 'fake-second-password' })
    onTestFinished(() => other.close())
    const { write, config, env } = files(sandbox)
    const { gateway, reload } = await open(start, env)
    const socket = gateway.open()
    const answered = new Promise<string>(resolve => socket.setEncoding('utf8').once('data', resolve))
    socket.write(
      `POST /chats/whatsapp/100/346/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${keys.crm}\r\nContent-Type: application/json\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{"message"`,
    )
    await expect
      .poll(async () => {
        const { items } = JSON.parse(await (await fetch(`${gateway.adminUrl}/callers`)).text())
        return items.find(({ caller }: { caller: string }) => caller === 'crm').keys[0].lastUsedAt
      })
      .not.toBeNull()

    write('password', 'fake-second-password')
    config(({ accounts }) => {
      accounts.main.url = `${other.url}/api/http/`
    })
    reload()
    socket.write(':"Hello"}')

    expect(await answered).toMatch(/^HTTP\/1\.1 201 /)
    expect([sandbox.sent.length, other.sent.length]).toEqual([1, 0])
  })

  test('begins the metrics of an account with it, and says no more of how one stands that has gone', async ({ sandbox, start }) => {
    const { config, env } = files(sandbox)
    const { gateway, reloaded } = await open(start, env)
    const metrics = async () => (await fetch(`${gateway.adminUrl}/metrics`)).text()

    config(({ accounts }) => void Object.assign(accounts, { second: { ...accounts.main, events: { channels: ['whatsapp/100'] } } }))
    await reloaded(({ accounts }) => JSON.stringify(accounts).includes('"added":["second"]'))
    const during = await metrics()
    await expect.poll(metrics).toContain('gateway_events_streams{account="second"} 0')
    config()
    await reloaded(({ accounts }) => JSON.stringify(accounts).includes('"removed":["second"]'))

    expect(during).toContain('gateway_sends_total{account="second",kind="message",state="unknown"} 0')
    expect(during).toContain('gateway_breaker_open{account="second",operation="sendmessage"} 0')
    const after = await metrics()
    for (const gauge of ['gateway_breaker_open', 'gateway_events_streams']) expect(after).not.toContain(`${gauge}{account="second"`)
  })

  test('can close an account, and what its callers began is still answered', async ({ sandbox, start }) => {
    const { config, env } = files(sandbox)
    const { gateway, reload } = await open(start, env)
    const release = hold(sandbox)
    const begun = gateway.request('/chats/whatsapp/100/346/messages', send(keys.shop))
    await sandbox.called(1)

    config(({ accounts, callers }) => {
      Object.assign(accounts, { second: accounts.main })
      Reflect.deleteProperty(accounts, 'main')
      callers.crm = { ...callers.crm, account: 'second' }
      delete callers.shop
    })
    reload()
    await expect.poll(async () => (await gateway.request('/me', { key: keys.shop })).status).toBe(401)
    release()

    expect((await begun).status).toBe(201)
    expect((await gateway.request('/channels', { key: keys.crm })).status).toBe(200)
  })
})

test('A file that hangs, as on a mount that is gone, holds up one thread, and nothing that is reloaded meanwhile', async ({ sandbox }) => {
  const { at, write, env } = files(sandbox)
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const config = readConfig(env)
  const read = vi.fn(() => readConfig(env))
  const { reload, stop } = watchConfig({ config, read, applied: () => {}, refused: () => {}, pollMs: 10 })
  renameSync(at('config.json'), at('copy.json'))
  execFileSync('mkfifo', [at('config.json')]) // who opens it waits for a writer

  vi.advanceTimersByTime(100)
  expect(await readFile(at('password'), 'utf8')).toBe(canaries.password)
  env.GATEWAY_CONFIG = at('copy.json')
  reload()
  stop()
  write('config.json', 'something else')
  for (let i = 0; i < 5; i++) await readFile(at('password'))

  expect(read).toHaveBeenCalledOnce()
  expect(vi.getTimerCount()).toBe(0)
})

describe('The program', () => {
  test('reloads a changed file, without and with SIGHUP, and keeps the previous one if it is invalid', async ({ sandbox }) => {
    const { write, config, caller, env } = files(sandbox)
    const program = await startProgram(sandbox, { ...env, ...single })
    const logged = (count: number, msg: string) => expect.poll(() => program.log.filter(line => line.msg === msg).length).toBe(count)

    config(({ callers }) => Object.assign(callers, { next: caller(keys.next) }))
    await logged(1, 'configuration reloaded')
    const next = await program.get('/me', keys.next)
    program.kill('SIGHUP')
    await logged(2, 'configuration reloaded')
    write('config.json', '{}')
    await logged(1, 'configuration reload failed, keeping the previous one')
    program.kill('SIGHUP')
    await logged(2, 'configuration reload failed, keeping the previous one')

    expect(next.status).toBe(200)
    expect((await program.get('/me', keys.crm)).status).toBe(200)
  })
})
