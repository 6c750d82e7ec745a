import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Agent, request } from 'undici'
import { describe, expect, onTestFinished, vi } from 'vitest'
import { listen } from './afilnet/listeners.ts'
import { canaries, environment, test, transportEnvironment } from './gateway.ts'
import { startProgram } from './program.ts'

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url))

type Line = Record<string, unknown> & { msg: string }

/** The real program, with an environment of its own. */
function launch(env: Record<string, string | undefined>, ...args: string[]) {
  const child: ChildProcess = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const said = { out: '', err: '' }
  child.stdout?.on('data', chunk => {
    said.out += chunk
  })
  child.stderr?.on('data', chunk => {
    said.err += chunk
  })
  const ended = once(child, 'close')
  const lines = () =>
    said.out
      .split('\n')
      .filter(Boolean)
      .map((line): Line => JSON.parse(line))
  const line = (msg: string) =>
    vi.waitFor(
      () => {
        const found = lines().find(line => line.msg === msg)
        expect(found, said.out + said.err).toBeDefined()
        return found as Line // just checked
      },
      { timeout: 120_000, interval: 20 },
    )
  return { child, said, ended, line, lines }
}

const headers = { authorization: `Bearer ${canaries.key}` }
const get = async (url: string) => {
  const { statusCode, body } = await request(url, { headers, reset: true })
  return { status: statusCode, text: await body.text() }
}

const warningOfSwitch =
  'started because of ALLOW_DEBUG: NODE_OPTIONS: --insecure-http-parser opens the process or turns off checks; remove it, or set ALLOW_DEBUG=true to start all the same'

describe('The program', () => {
  test.for(['SIGTERM', 'SIGINT'] as const)(
    'says in one line where it listens and for whom, serves, and leaves on %s',
    async (signal, { sandbox }) => {
      const { child, said, ended, line, lines } = launch(environment(sandbox, 5_000))

      const ready = await line('gateway is ready')
      const { status } = await get(`${ready.url}/channels`)
      child.kill(signal)
      const exit = await ended

      expect(ready).toMatchObject({
        level: 30,
        url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/),
        docs: `${ready.url}/docs`,
        admin: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/),
        accounts: [{ name: 'default', transport: 'post', url: `${sandbox.url}/api/http/` }],
        sandbox: true,
      })
      expect(status).toBe(200)
      expect(exit).toEqual([0, null])
      expect(lines().map(({ msg }) => msg)).toEqual(['listening', 'gateway is ready', 'request', 'draining', 'drained'])
      expect(said.err).toBe('')
      for (const canary of Object.values(canaries)) expect(said.out).not.toContain(canary)
    },
  )

  test('warns where the password would be in URLs', async ({ sandbox }) => {
    const { line } = launch({ ...environment(sandbox, 5_000), AFILNET_TRANSPORT: 'get', AFILNET_USER: 'shop', DOCS: 'false' })

    const ready = await line('gateway is ready')
    expect(ready).toMatchObject({ accounts: [{ transport: 'get' }], sandbox: false })
    expect(ready.docs).toBeUndefined()
    expect(
      await line('account default: the get transport puts the password into the URL of every call, where proxies log it'),
    ).toMatchObject({ level: 40 })
  })

  test('shows its configuration without secrets and ends with 0 when it is asked to check', async ({ sandbox }) => {
    const afilnet = { AFILNET_URL: 'https://www.afilnet.com/api/http/' } // which cannot fetch files from this machine
    const { said, ended } = launch({ ...environment(sandbox, 5_000), ...afilnet, DRAIN_DELAY_MS: '7' }, '--check')

    expect(await ended).toEqual([0, null])
    expect(JSON.parse(said.out)).toMatchObject({
      DRAIN_DELAY_MS: 7,
      AFILNET_USER: sandbox.user,
      AFILNET_PASSWORD: '<set>',
      AFILNET_TRANSPORT: 'post',
      GATEWAY_KEY_SHA256: ['<set>'],
    })
    expect(said.err).toMatch(/^Warning: .*MEDIA_URL/m)
    expect(said.out + said.err).not.toMatch(/canary|[0-9a-f]{64}/)
  })

  test.for([
    ['a check', ['--check']],
    ['a start', []],
  ] as const)('ends %s with 78 and every mistake', async ([, args], { sandbox }) => {
    const { said, ended } = launch(
      { ...environment(sandbox, 5_000), PORT: 'http', DRAIN_MS: '1', NODE_TLS_REJECT_UNAUTHORIZED: '0' },
      ...args,
    )

    expect(await ended).toEqual([78, null])
    expect(said.err.match(/^[A-Z_]+(?=: )/gm)).toEqual(['PORT', 'NODE_TLS_REJECT_UNAUTHORIZED', 'DRAIN_MS'])
    expect(said.out + said.err).not.toMatch(/canary|[0-9a-f]{64}|^ +at /m)
  })

  test.for(['--chek', '--check --verbose'])('does not start with %s', async (words, { sandbox }) => {
    const { said, ended } = launch(environment(sandbox, 5_000), ...words.split(' '))

    expect(await ended).toEqual([78, null])
    expect(said.err).toContain('--check')
  })

  test('does not start with a switch that opens the process, and names it beside every other mistake', async ({ sandbox }) => {
    const env = { ...environment(sandbox, 5_000), NODE_DEBUG: 'tls', NODE_OPTIONS: '--insecure-http-parser', PORT: 'http' }
    const { said, ended } = launch(env)

    expect(await ended).toEqual([78, null])
    for (const name of ['NODE_DEBUG', 'NODE_OPTIONS', 'PORT']) expect(said.err).toMatch(new RegExp(`^${name}: `, 'm'))
    expect(said.out).toBe('')
  })

  test('starts with such a switch only if ALLOW_DEBUG is set, and warns', async ({ sandbox }) => {
    const { line } = launch({ ...environment(sandbox, 5_000), NODE_OPTIONS: '--insecure-http-parser', ALLOW_DEBUG: 'true' })

    expect(await line('gateway is ready')).toMatchObject({ level: 30 })
    expect(await line(warningOfSwitch)).toMatchObject({ level: 40 })
  })

  test.for([
    ['ioredis:*,express:*', 1],
    ['false', 0],
  ] as const)('prints nothing for DEBUG=%s', async ([DEBUG, warnings], { sandbox }) => {
    const { child, said, ended, line, lines } = launch({
      ...environment(sandbox, 5_000),
      DEBUG,
      STORE_URL: 'redis://user:fake-canary-store@127.0.0.1:1/0',
    })

    await line('gateway is ready')
    child.kill('SIGTERM')
    await ended

    expect(said.err).toBe('')
    expect(lines().filter(({ msg }) => msg.startsWith('DEBUG is ignored'))).toHaveLength(warnings)
  })

  test('says clearly that its port is taken', async ({ gateway, sandbox }) => {
    const { port } = new URL(gateway.url)

    const { said, ended, lines } = launch({ ...environment(sandbox, 5_000), PORT: port })

    expect(await ended).toEqual([1, null])
    expect(lines()).toMatchObject([{ level: 60, msg: 'cannot start', code: 'EADDRINUSE', host: '127.0.0.1', port: Number(port) }])
    expect(said.err).toBe('')
  })

  test('says which name it cannot look up', async ({ sandbox }) => {
    const { ended, lines } = launch({ ...environment(sandbox, 5_000), HOST: 'nowhere.invalid' })

    expect(await ended).toEqual([1, null])
    expect(lines()).toMatchObject([{ level: 60, msg: 'cannot start', host: 'nowhere.invalid' }])
  })
})

describe('The WSDL of an account, at the start of the program,', () => {
  test.for([
    ['that cannot be fetched now ends it with 1, since another start may succeed', 503, 1],
    ['that is nowhere ends it with 78', 404, 78],
  ] as const)('%s', async ([, status, code], { sandbox }) => {
    const server = createServer((_, response) => response.writeHead(status).end())
    const AFILNET_WSDL = `http://127.0.0.1:${await listen(server)}/?wsdl`
    const { ended, lines } = launch({ ...environment(sandbox, 5_000), ...transportEnvironment(sandbox, 'soap'), AFILNET_WSDL })

    expect(await ended).toEqual([code, null])
    const transport = `account default: the WSDL cannot be fetched: HTTP ${status}`
    expect(lines()).toMatchObject([{ level: 60, msg: 'cannot start', transport }])
  })
})

describe('What Node reports in the process', () => {
  test('is a line of the log without its text, and ends the process with 1 if it is a failure that no code expects', async ({
    sandbox,
  }) => {
    const fail = `process.emitWarning(['fake','canary'].join('-'), { type: 'Odd', code: 'ODD' }); setTimeout(() => { throw new TypeError('odd') })`
    const preload = `data:text/javascript,process.once('SIGUSR2',()=>{${encodeURIComponent(fail)}})`
    const { child, ended, said, lines, line } = launch({ ...environment(sandbox, 5_000), NODE_OPTIONS: `--import ${preload}` })
    await line('gateway is ready')
    child.kill('SIGUSR2')

    expect(await ended).toEqual([1, null])
    expect(lines().slice(-2)).toMatchObject([
      { level: 40, msg: 'warning from Node', type: 'Odd', code: 'ODD' },
      { level: 60, msg: 'unexpected failure, ending the process', err: { type: 'TypeError' } },
    ])
    expect(said.err).toBe('')
    expect(said.out).not.toContain('fake-canary')
  })
})

describe('A process that gets a signal while it is busy', () => {
  test('answers everything that it took, refuses the rest, and is gone in time', async ({ sandbox }) => {
    const env = { ...environment(sandbox, 5_000), DRAIN_MS: '30000', DRAIN_DELAY_MS: '3000' }
    const { child, ended, line, lines } = launch(env)
    const { url } = await line('gateway is ready')
    const { port } = new URL(String(url))
    sandbox.latencyMs = 100

    // Callers that keep their connections and send one message after the other, until the gateway refuses one or is gone.
    const agent = new Agent({ connections: 20, pipelining: 1 })
    onTestFinished(() => agent.destroy())
    const answers: { message: string; status: number; text: string }[] = []
    const send = async (message: string) => {
      const { statusCode, body } = await request(`${url}/chats/telegram/200/700100200/messages`, {
        dispatcher: agent,
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ message }),
      })
      answers.push({ message, status: statusCode, text: await body.text() })
      return statusCode === 201
    }
    const callers = Array.from({ length: 20 }, async (_, caller) => {
      for (let i = 0; await send(`${caller}-${i}`).catch(() => false); i++);
    })

    // One caller stops in the middle of its headers, one in its body, one sends its body byte by byte but in the end whole.
    const raw = (bytes: string) => {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => {})
      socket.write(bytes)
      return socket
    }
    const head = `POST /chats/telegram/200/700100200/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${canaries.key}\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n`
    raw('GET /channels HTTP/1.1\r\nHo')
    raw(`${head}{"mes`)
    const slow = raw(head)
    const slowAnswer = text(slow).catch(() => '')
    await sandbox.called(40)
    child.kill('SIGTERM')
    const leaving = await vi.waitFor(
      async () => {
        const ready = await get(`${url}/health/ready`)
        expect(ready.status).toBe(503)
        return ready
      },
      { timeout: 120_000 },
    )
    const served = await get(`${url}/me`)
    const bytes = [...'{"message":"slow"}']
    const drip = setInterval(() => slow.write(bytes.shift() ?? ''), 40)
    const exit = await ended
    clearInterval(drip)
    await Promise.all(callers)

    expect(leaving).toMatchObject({ status: 503, text: expect.stringContaining('"status":"draining"') })
    expect(served.status).toBe(200)
    expect(exit).toEqual([0, null])
    expect(await slowAnswer).toMatch(/^HTTP\/1.1 201 /)

    const accepted = answers.filter(({ status }) => status === 201).map(({ message }) => message)
    const refused = answers.filter(({ status }) => status !== 201)
    expect([...accepted, 'slow'].sort()).toEqual(sandbox.sent.map(({ message }) => message).sort())
    expect(new Set(refused.map(({ status, text }) => `${status} ${JSON.parse(text).code}`))).toEqual(new Set(['503 draining']))
    expect(lines().at(-1)?.msg).toBe('drained')
    expect(lines().filter(({ level }) => Number(level) > 30)).toEqual([])
  })

  test('does not wait longer than it may for an Afilnet that is silent', async ({ sandbox }) => {
    const { child, ended, line } = launch({ ...environment(sandbox, 5_000), AFILNET_TIMEOUT_MS: '500', DRAIN_MS: '30000' })
    const { url } = await line('gateway is ready')
    const silent = get(`${url}/chats/whatsapp/silent`)
    await sandbox.called(1)
    child.kill('SIGTERM')

    expect(await silent).toMatchObject({ status: 504, text: expect.stringContaining('upstream-timeout') })
    expect(await ended).toEqual([0, null])
  })
})

describe.skipIf(!existsSync('/proc/self/task'))('A gateway of which nothing was asked (needs Linux)', () => {
  test('runs one thread for its ledger, also after a scrape', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox)
    await gateway.get('/me')
    const { admin } = await gateway.logged('gateway is ready')
    for (let scrapes = 0; scrapes < 2; scrapes++) await (await fetch(`${admin}/metrics`)).text()
    const tasks = `/proc/${gateway.pid}/task`
    const threads = readdirSync(tasks).map(task => readFileSync(`${tasks}/${task}/comm`, 'utf8').trim())

    expect(threads.filter(name => name === 'store')).toHaveLength(1)
  })
})
