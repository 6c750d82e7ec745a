import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, createReadStream, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { constants as os, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { describe, expect, onTestFinished } from 'vitest'
import { freePort } from '../bench/programs.ts'
import type { Sandbox } from '../src/sandbox/app.ts'
import { canaries, environment, test } from './gateway.ts'
import { startProgram } from './program.ts'
import { installed } from './store/stores.ts'

type Output = number | 'pipe'

/** The real program with an output of the test's choice; it is asked over HTTP, since its log may lead nowhere. */
async function launch(sandbox: Sandbox, stdout: Output, env: Record<string, string> = {}) {
  const given = { PATH: process.env.PATH, ...environment(sandbox, 5_000), PORT: String(await freePort()), ...env }
  const child = spawn(process.execPath, ['src/main.ts'], { env: given, stdio: ['ignore', stdout, 'pipe'] })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const url = `http://127.0.0.1:${given.PORT}`
  const get = async (path: string) => (await fetch(url + path, { headers: { authorization: `Bearer ${canaries.key}` } })).status
  await expect.poll(() => get('/health/live').catch(() => 0)).toBe(200)
  return { child, exited, url, get }
}

function folder() {
  const path = mkdtempSync(join(tmpdir(), 'gateway-output-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A named pipe: its writing end for the program, and readers that come and go. */
function namedPipe() {
  const path = join(folder(), 'log')
  execFileSync('mkfifo', [path])
  const read = () => spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const reader = read()
  onTestFinished(() => void reader.kill('SIGKILL'))
  return { read, reader, writer: openSync(path, constants.O_WRONLY) }
}

function lineWith(stream: Readable, msg: string) {
  return new Promise<Record<string, unknown>>(resolve => {
    createInterface({ input: stream }).on('line', line => {
      if (line.endsWith('}') && JSON.parse(line).msg === msg) resolve(JSON.parse(line))
    })
  })
}

/** Makes the gateway log far more than a pipe and its own bound hold together. */
async function flood(url: string, lines: number) {
  const { hostname, port } = new URL(url)
  const head = `GET /me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${canaries.key}\r\n\r\n`
  const socket = connect(Number(port), hostname)
  onTestFinished(() => void socket.destroy())
  let answers = 0
  socket.on('data', chunk => {
    answers += chunk.toString().split('HTTP/1.1 200').length - 1
  })
  for (let sent = 0; sent < lines; sent += 500) {
    socket.write(head.repeat(500))
    await expect.poll(() => answers, { interval: 5 }).toBeGreaterThanOrEqual(sent + 490)
  }
}

const stop = async ({ child, exited }: { child: ChildProcess; exited: Promise<unknown[]> }) => {
  child.kill('SIGTERM')
  return exited
}

describe('Output without a reader', () => {
  test('serves on and stops on SIGTERM when the reader of the log pipe has ended', async ({ sandbox }) => {
    const { reader, read, writer } = namedPipe()
    const gateway = await launch(sandbox, writer)
    reader.kill('SIGKILL')
    await once(reader, 'exit')

    for (let i = 0; i < 20; i++) expect(await gateway.get('/channels')).toBe(200)
    const again = read()
    onTestFinished(() => void again.kill('SIGKILL'))
    const drained = lineWith(again.stdout, 'drained')

    expect(await stop(gateway)).toEqual([0, null])
    expect(await drained).toMatchObject({ level: 30 })
  })

  test('serves on, drops lines and counts them when the log pipe is not read, and says so once it is', async ({ sandbox }) => {
    const { reader, writer } = namedPipe()
    reader.kill('SIGSTOP')
    const adminPort = String(await freePort())
    const gateway = await launch(sandbox, writer, { ADMIN_PORT: adminPort })
    const dropped = async () => {
      const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
      return Number(/^gateway_log_lines_dropped_total (\d+)/m.exec(text)?.[1])
    }

    while ((await dropped()) === 0) await flood(gateway.url, 5_000)
    expect(await gateway.get('/health/live')).toBe(200)
    const resumed = lineWith(reader.stdout, 'log lines dropped because the output was blocked or failed')
    reader.kill('SIGCONT')

    expect((await resumed).dropped).toBeGreaterThan(0)
    expect(await stop(gateway)).toEqual([0, null])
  })

  test('ends on SIGTERM while the log pipe is not read', async ({ sandbox }) => {
    const { reader, writer } = namedPipe()
    reader.kill('SIGSTOP')
    const gateway = await launch(sandbox, writer)
    await flood(gateway.url, 1_000)

    expect(await stop(gateway)).toEqual([0, null])
  })

  test('serves on and stops on SIGTERM when the disk of the log is full', async ({ sandbox }) => {
    const gateway = await launch(sandbox, openSync('/dev/full', 'w'))

    for (let i = 0; i < 20; i++) expect(await gateway.get('/channels')).toBe(200)

    expect(await stop(gateway)).toEqual([0, null])
  })

  test.for([['src/main.ts', '--check'], ['src/cli/doctor.ts', '--json'], ['src/cli/key.ts']] as const)(
    'does not take %s for done when the disk of its output is full',
    async (args, { sandbox }) => {
      const env = { ...environment(sandbox), STORE_URL: 'sqlite::memory:', MEDIA_URL: 'https://files.example' }
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'] })
      const [stderr, [status]] = await Promise.all([child.stderr?.toArray(), once(child, 'exit')])

      expect([status, stderr?.join('')]).toEqual([1, 'The output cannot be written (ENOSPC)\n'])
    },
  )

  test('does not take --check for done when the disk has room for a part of its output', async ({ sandbox }) => {
    const output = openSync(join(folder(), 'output'), 'w')
    const env = { PATH: process.env.PATH, NODE_DISABLE_COMPILE_CACHE: '1', ...environment(sandbox) }
    const limited = ['-c', 'ulimit -f 1; exec "$0" "$@"', process.execPath, 'src/main.ts', '--check']
    const child = spawn('sh', limited, { env, stdio: ['ignore', output, 'pipe'] })
    const [stderr, [status]] = await Promise.all([child.stderr?.toArray(), once(child, 'exit')])

    expect([status, stderr?.join('').split('\n').at(-2)]).toEqual([1, 'The output cannot be written (EFBIG)'])
  })

  test('writes its last line to a file before it ends', async ({ sandbox }) => {
    const path = join(folder(), 'log')
    const gateway = await launch(sandbox, openSync(path, 'a'))

    expect(await stop(gateway)).toEqual([0, null])
    expect(await lineWith(createReadStream(path), 'drained')).toMatchObject({ level: 30 })
  })
})

describe('Signals', () => {
  const fatal = ['SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL'] as const
  const drains = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGXCPU', 'SIGPWR'] as const
  const others = new Set([...fatal, ...drains].map(name => os.signals[name])) // some signals have two names
  const harmless = (Object.keys(os.signals) as NodeJS.Signals[]).filter(name => !others.has(os.signals[name]))

  test('neither end, stop nor open the process, unless they drain or reload it', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox)

    for (const signal of harmless) {
      gateway.kill(signal)
      expect(await gateway.get('/me'), signal).toMatchObject({ status: 200 })
    }

    await gateway.logged('configuration reloaded')
    expect(await fetch('http://127.0.0.1:9229/json/list').catch(() => 'no inspector')).toBe('no inspector')
    gateway.kill('SIGPWR')
    expect(await gateway.exited).toEqual([0, null])
  })

  test.for(['SIGQUIT', 'SIGABRT'] as const)('%s drains', async (signal, { sandbox }) => {
    const gateway = await startProgram(sandbox)

    gateway.kill(signal)

    expect(await gateway.exited).toEqual([0, null])
    expect(gateway.log.at(-1)).toMatchObject({ msg: 'drained' })
  })

  test('that arrive during the start are obeyed after it', async ({ sandbox }) => {
    const env = { PATH: process.env.PATH, ...environment(sandbox, 5_000) }
    const child = spawn(
      process.execPath,
      ['--import', 'data:text/javascript,process.nextTick(()=>setImmediate(()=>process.kill(process.pid,"SIGXCPU")))', 'src/main.ts'],
      { env, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    onTestFinished(() => void child.kill('SIGKILL'))
    const drained = lineWith(child.stdout, 'drained')

    expect(await once(child, 'exit')).toEqual([0, null])
    expect(await drained).toMatchObject({ level: 30 })
  })
})

/** Delays each sync of the process to its disk. */
async function delaySyncs(pid: number | undefined, delay: string) {
  const inject = `inject=fsync,fdatasync:delay_enter=${delay}`
  const delaying = spawn('strace', ['-f', '-qq', '-o', '/dev/null', '-e', inject, '-p', String(pid)])
  onTestFinished(() => void delaying.kill('SIGKILL'))
  await expect.poll(() => readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/TracerPid:\t[1-9]/)
  return delaying
}

describe.skipIf(!installed('strace'))('A disk that hangs (needs strace)', () => {
  test('does not keep the process alive beyond DRAIN_MS', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '2000', DRAIN_MS: '6000' })
    const hang = await delaySyncs(gateway.pid, '600s')

    const refused = await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello' })
    expect(refused).toMatchObject({ status: 503, json: { code: 'store-unavailable' } })
    expect(await gateway.get('/channels')).toMatchObject({ status: 200 })
    gateway.kill('SIGTERM')
    const last = (msg: unknown) => /^drain incomplete/.test(String(msg))
    await expect.poll(() => last(gateway.log.at(-1)?.msg)).toBe(true)
    hang.kill('SIGKILL') // strace keeps the threads that it delays from ending, which a disk does not
    expect(await gateway.exited).toEqual([null, 'SIGKILL']) // by its own hand: a thread that waits for the disk cannot end
    expect(gateway.log.at(-1)).toMatchObject({ level: 50, msg: expect.stringMatching(/^drain incomplete/) })
  })

  test('may keep a queued send that the ledger did not confirm: only what will not be sent is `not_applied`', async ({ sandbox }) => {
    const env = { QUEUE_KEY: Buffer.alloc(32, 7).toString('base64') }
    const gateway = await startProgram(sandbox, env)
    const queue = ({ post }: Pick<typeof gateway, 'post'>, message: string) =>
      post('/chats/whatsapp/100/34600000000/messages', { message }, { prefer: 'respond-async', 'idempotency-key': message })
    const sent = () => sandbox.sent.map(({ message }) => message)
    expect(await queue(gateway, 'before')).toMatchObject({ status: 202 })
    await expect.poll(sent).toEqual(['before'])
    const hang = await delaySyncs(gateway.pid, '600s')

    const { status, json } = await queue(gateway, 'meanwhile')
    gateway.kill('SIGKILL')
    hang.kill('SIGKILL') // as above
    await gateway.exited
    const next = await startProgram(sandbox, { ...env, STORE_URL: `sqlite:${join(gateway.folder, 'ledger.sqlite')}` })
    await queue(next, 'after') // in the same conversation, so it is sent last
    await expect.poll(sent).toContain('after')

    // 503 if another write of the gateway hung first: then this one has not begun.
    if (status === 503) expect([json.outcome, sent()]).toEqual(['not_applied', ['before', 'after']])
    else expect([status, json.code, json.outcome, json.retry]).toEqual([500, 'internal-error', 'unknown', 'same-key'])
  })

  test('and is only slow leaves time to close the ledger after a body that never came', async ({ sandbox }) => {
    const gateway = await startProgram(sandbox, { AFILNET_TIMEOUT_MS: '1000', DRAIN_MS: '5000' })
    expect(await gateway.post('/chats/whatsapp/100/34600000000/messages', { message: 'Hello' })).toMatchObject({ status: 201 })
    await delaySyncs(gateway.pid, '150ms')
    const { hostname, port } = new URL(gateway.url)
    const half = connect(Number(port), hostname).on('error', () => {})
    onTestFinished(() => void half.destroy())
    half.write(
      `POST /chats/whatsapp/100/34600000000/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${canaries.key}\r\nContent-Type: application/json\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n`,
    )
    await once(half, 'data') // 100 Continue: the request is accepted

    gateway.kill('SIGTERM')

    expect(await gateway.exited).toEqual([0, null])
    expect(gateway.log.at(-1)).toMatchObject({ level: 30, msg: 'drained' })
  })
})

describe.skipIf(process.platform !== 'linux')('A DNS that hangs (needs Linux)', () => {
  /** The C library looks for a name without dots in this file first, and waits for its writer. */
  function neverRead() {
    const aliases = join(folder(), 'aliases')
    execFileSync('mkfifo', [aliases])
    return aliases
  }

  test('does not keep the process alive beyond DRAIN_MS', async ({ sandbox }) => {
    const env = { HOSTALIASES: neverRead(), AFILNET_URL: 'http://sandbox/api/http/', AFILNET_TIMEOUT_MS: '1000', DRAIN_MS: '4000' }
    const gateway = await startProgram(sandbox, env)

    expect(await gateway.get('/channels')).toMatchObject({ status: 503, json: { code: 'upstream-unreachable' } })
    gateway.kill('SIGTERM')

    expect(await gateway.exited).toEqual([0, null])
    expect(gateway.log.at(-1)).toMatchObject({ level: 30, msg: 'drained' })
  })

  test('leaves a start that fails its exit code', async ({ sandbox }) => {
    const soap = { AFILNET_TRANSPORT: 'soap', AFILNET_URL: 'http://sandbox/', AFILNET_WSDL: 'http://sandbox/chat.wsdl' }
    const starting = startProgram(sandbox, { HOSTALIASES: neverRead(), ...soap, AFILNET_TIMEOUT_MS: '1000' })

    await expect(starting).rejects.toThrow('it ended with 1,')
  })

  test('ends a process that may not start another program', async ({ sandbox }) => {
    const soap = { AFILNET_TRANSPORT: 'soap', AFILNET_URL: 'http://sandbox/', AFILNET_WSDL: 'http://sandbox/chat.wsdl' }
    const denied = { NODE_OPTIONS: '--permission --allow-fs-read=* --allow-fs-write=* --allow-worker' }
    const starting = startProgram(sandbox, { HOSTALIASES: neverRead(), ...soap, ...denied, AFILNET_TIMEOUT_MS: '1000' })

    await expect(starting).rejects.toThrow('it ended with ,SIGKILL') // by its own hand: a thread that waits for the DNS cannot end
  })
})
