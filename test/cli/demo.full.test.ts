import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'

const program = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url))
const run = promisify(execFile)

async function start(more: NodeJS.ProcessEnv = {}) {
  const ports = { PORT: '0', SANDBOX_PORT: '0', SANDBOX_CONTROL_PORT: '0', INBOX_PORT: '0' }
  const env = { PATH: process.env.PATH, TMPDIR: tmpdir(), ...ports, ...more }
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], { env })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  let errors = ''
  child.stderr.on('data', chunk => {
    errors += chunk
  })
  const ended = once(child, 'close')
  while (!said.includes('Ctrl-C')) await Promise.race([once(child.stdout, 'data'), ended.then(() => expect.fail(errors))])
  return { child, ended, said, errors: () => errors }
}

describe('The demo', () => {
  test('prints where the inbox and the docs are, a key, and six calls that work when they are pasted', async () => {
    const { said } = await start()
    const calls = said.split('\n').filter(line => line.startsWith('curl '))

    const answers = []
    for (const call of calls) answers.push((await run('bash', ['-c', `${call} -w '\\n%{http_code}'`])).stdout.split('\n'))

    const seventh = said.split('\n').find(line => line.startsWith('  curl ')) ?? ''
    const { stdout: again } = await run('bash', ['-c', seventh])

    expect(again).toMatch(/^HTTP\/1\.1 201 /)
    expect(again).toMatch(/^idempotency-replayed: true\r$/im)
    expect(said).toMatch(/^Docs +http:\/\/127\.0\.0\.1:\d+\/docs$/m)
    expect(said).toMatch(/^Key +afgw_[\w-]{43}$/m)
    expect(answers.map(answer => answer.at(-1))).toEqual(['200', '200', '200', '200', '201', '201'])
    for (const [body = ''] of answers.slice(0, 4)) expect(JSON.parse(body).items.length).toBeGreaterThan(0)
    const [, inbox = ''] = /^Inbox +(http:\/\/127\.0\.0\.1:\d+) /.exec(said) ?? []
    expect(await (await fetch(inbox)).text()).toContain('<title>Inbox</title>')
    const { items } = (await (await fetch(`${inbox}/api/conversations`)).json()) as { items: object[] }
    expect(items.length).toBeGreaterThan(3)
    const docs = await fetch(/^Docs +(\S+)$/m.exec(said)?.[1] ?? '')
    expect(docs.status).toBe(200)
  })

  test('serves tools for agents with MCP=true', async () => {
    const { said } = await start({ MCP: 'true' })
    const [gateway, key] = ['Gateway', 'Key'].map(name => new RegExp(`^${name} +(\\S+)$`, 'm').exec(said)?.[1])

    const headers = {
      authorization: `Bearer ${key}`,
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
    }
    const answer = await fetch(`${gateway}/mcp`, { method: 'POST', headers, body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' })

    expect(await answer.text()).toContain('send_message')
  })

  test.for([
    ['Ctrl-C', 'SIGINT'],
    ['the end of its terminal', 'SIGHUP'],
  ] as const)('ends on %s, even with a running call that never gets an answer, and leaves no files', async ([, signal]) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'demo-'))
    const { child, ended, said, errors } = await start({ TMPDIR: folder.path })
    expect(readdirSync(folder.path)).toEqual([expect.stringMatching(/^afilnet-demo-/)])
    const [first = ''] = said.split('\n').filter(line => line.startsWith('curl '))
    const [, key = '', url = ''] = /Bearer (\S+)' '(\S+)'/.exec(first) ?? []
    const path = url.replace('/channels', '/chats/whatsapp/100/silent/messages')
    const silent = fetch(path, { headers: { authorization: `Bearer ${key}` } }).then(
      ({ status }) => status,
      () => 'cut off',
    )
    await expect.poll(async () => (await fetch(/what it received: (\S+)\)/.exec(said)?.[1] ?? '')).text()).toContain('"silent"')
    child.kill(signal)

    expect(await ended).toEqual([0, null])
    expect(readdirSync(folder.path)).toEqual([])
    expect([502, 503, 'cut off']).toContain(await silent)
    expect(errors()).toBe('')
  })

  test.for([
    [{ SANDBOX_PORT: 'x' }, [], 'SANDBOX_PORT: expected a port from 0 to 65535'],
    [{ SANDBOX_PORT: '0', SANDBOX_CONTROL_PORT: '0', INBOX_PORT: '65536' }, [], 'INBOX_PORT: expected a port from 0 to 65535'],
    [{}, ['--port=5000'], 'The demo takes no arguments; variables such as PORT set it up'],
  ] as const)('names what is wrong: %j %j', async ([env, args, message]) => {
    await expect(run(process.execPath, [program, ...args], { env })).rejects.toMatchObject({ code: 78, stderr: `${message}\n` })
  })

  test('says clearly that a port is taken', async () => {
    const { said } = await start()
    const port = /^Docs +http:\/\/127\.0\.0\.1:(\d+)/m.exec(said)?.[1]

    const second = run(process.execPath, [program], { env: { PORT: port, SANDBOX_PORT: '0', SANDBOX_CONTROL_PORT: '0', INBOX_PORT: '0' } })

    await expect(second).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/^The demo cannot start: EADDRINUSE.*\n$/) })
  })
})
