import { spawn, spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { runDoctorCommand } from '../src/cli/doctor/command.ts'
import { canaries, environment, test } from './gateway.ts'
import { noServer, startServer } from './store/valkey/server.ts'

describe('What the programs say', () => {
  const secret = 'fake-canary-secret'
  const run = (program: string, args: string[], env: Record<string, string>) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...env },
    })
    return { status, said: stdout + stderr }
  }
  const folder = () => {
    const path = mkdtempSync(join(tmpdir(), 'gateway-canary-'))
    onTestFinished(() => rmSync(path, { recursive: true }))
    return path
  }
  const file = (content: unknown) => {
    const path = join(folder(), 'config.json')
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    return path
  }
  const caller = { keySha256: [hash('sha256', secret)], account: 'main', scopes: ['messages:send'] }
  const main = { user: 'ops@example.com', password: { env: 'MAIN_PASSWORD' } }

  test('of a valid configuration has no secret in it', () => {
    const HOOK = `whsec_${Buffer.from(secret.padEnd(32, '.')).toString('base64')}`
    const QUEUE_KEY = Buffer.from(secret.padEnd(32, '-')).toString('base64')
    const hook = { url: `https://crm.example.com/?token=${secret}`, secret: { env: 'HOOK' }, account: 'main' }
    const accounts = { main: { ...main, events: { channels: ['*'] } } }
    const GATEWAY_CONFIG = file({ accounts, callers: { crm: caller }, webhooks: { hook } })

    const { status, said } = run('src/main.ts', ['--check'], { GATEWAY_CONFIG, MAIN_PASSWORD: secret, HOOK, QUEUE_KEY })

    expect(status).toBe(0)
    expect(said).toContain('"crm"')
    expect(said).toContain('QUEUE_KEY')
    for (const word of [secret, hash('sha256', secret), HOOK.slice(6), QUEUE_KEY]) expect(said).not.toContain(word)
  })

  test.for<[string, unknown]>([
    ['the password itself', { accounts: { main: { ...main, password: secret } }, callers: { crm: caller } }],
    ['a password for a variable', { accounts: { main: { ...main, password: { env: secret } } }, callers: { crm: caller } }],
    ['a password for a path', { accounts: { main: { ...main, password: { file: secret } } }, callers: { crm: caller } }],
    ['a password in a URL', { accounts: { main: { ...main, url: `https://ops:${secret}@example.com/` } }, callers: { crm: caller } }],
    ['a key for a digest', { accounts: { main }, callers: { crm: { ...caller, keySha256: [secret] } } }],
    [
      'a secret everywhere',
      {
        accounts: { main: { ...main, user: 5, transport: secret, timezone: secret } },
        callers: { crm: { ...caller, account: secret, scopes: [secret], chats: [secret], expires: secret } },
      },
    ],
    ['a file that is cut short', `{"accounts":{"main":{"user":"x","password":"${secret}`],
    ['a file that is a secret', secret],
  ])('of a configuration with %s neither', async ([, content]) => {
    const env = { GATEWAY_CONFIG: file(content), MAIN_PASSWORD: secret }

    const gateway = run('src/main.ts', ['--check'], env)
    const doctors = await Promise.all([runDoctorCommand([], env), runDoctorCommand(['--json'], env)])

    expect([gateway.status, ...doctors.map(({ exitCode }) => exitCode)]).toEqual([78, 2, 2])
    for (const said of [gateway.said, ...doctors.map(({ output = '' }) => output)]) {
      expect(said).toMatch(/is not|is required|unknown property|does not exist|contains credentials/)
      expect(said).not.toContain(secret)
    }
  })

  const store = { user: 'fake-canary-user', password: 'fake-canary-secret', sentinel: 'fake-canary-sentinel' }
  const words = Object.values(store).flatMap(word => [word, Buffer.from(word).toString('base64')])
  const settled = (said: string) => /"level":50/.test(said)

  /** All that the gateway says, at level trace, of a store that it cannot use; and what its callers hear. */
  async function gatewayOn(url: string, sandbox: Parameters<typeof environment>[0]) {
    const env = { PATH: process.env.PATH, ...environment(sandbox, 5_000), STORE_URL: url }
    const child = spawn(process.execPath, ['src/main.ts'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', chunk => {
        said += chunk
      })
    onTestFinished(() => void child.kill('SIGKILL'))
    await expect.poll(() => settled(said) && /gateway is ready/.test(said)).toBe(true)
    const { url: at } = said.split('\n').flatMap(line => (/gateway is ready/.test(line) ? [JSON.parse(line)] : []))[0]
    const headers = { authorization: `Bearer ${canaries.key}`, 'content-type': 'application/json' }
    const answers = await Promise.all([
      fetch(`${at}/chats/whatsapp/100/34600000000/messages`, { method: 'POST', headers, body: '{"message":"Hello"}' }),
      fetch(`${at}/sends`, { headers }),
      fetch(`${at}/health/ready`),
    ])
    for (const answer of answers) said += `${answer.status} ${await answer.text()}`
    child.kill('SIGTERM')
    await once(child, 'exit')
    return said
  }

  const urls: Record<string, (port: number) => string> = {
    server: port => `redis://${store.user}:${store.password}@127.0.0.1:${port}/0`,
    'server with TLS': port => `rediss://${store.user}:${store.password}@127.0.0.1:${port}/0`,
    Sentinel: port => `redis+sentinel://${store.user}:${store.password}@127.0.0.1:${port}/ours?sentinel_password=${store.sentinel}`,
  }
  const places: Record<string, () => Promise<number>> = {
    'is not there': async () => 1, // no server listens there
    'wants another password': async () => {
      const server = await startServer({ settings: { requirepass: 'fake-other-password' } })
      onTestFinished(server.end)
      return server.port
    },
    'wants none': async () => {
      const server = await startServer()
      onTestFinished(server.end)
      return server.port
    },
  }
  test.skipIf(noServer).for([
    ['server', 'is not there'],
    ['server', 'wants another password'],
    ['server', 'wants none'],
    ['server with TLS', 'wants another password'],
    ['Sentinel', 'is not there'],
  ])('of the store has no user or password of it: a %s that %s (needs redis-server)', async ([what = '', how = ''], { sandbox }) => {
    const at = urls[what]?.((await places[how]?.()) ?? 0) ?? ''
    const said = await gatewayOn(at, sandbox)
    const env = { ...(environment(sandbox, 5_000) as Record<string, string>), STORE_URL: at } // strings without exception
    const check = run('src/main.ts', ['--check'], env)
    const doctors = await Promise.all([runDoctorCommand([], env), runDoctorCommand(['--json'], env)])

    expect(said).toContain('store-unavailable')
    expect([check.status, ...doctors.map(({ exitCode }) => exitCode)]).toEqual([0, 2, 2])
    const all = [said, check.said, ...doctors.map(({ output }) => output)].join('')
    for (const word of words) expect(all.includes(word), word).toBe(false)
  })
})
