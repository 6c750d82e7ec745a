import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startSandbox } from '../../src/sandbox/app.ts'

const program = fileURLToPath(new URL('../../src/sandbox/main.ts', import.meta.url))
const anyPort = { SANDBOX_PORT: '0', SANDBOX_CONTROL_PORT: '0' }

const start = (env: Record<string, string>, ...args: string[]) => {
  const child = spawn(process.execPath, [program, ...args], { env: { ...anyPort, ...env } })
  onTestFinished(() => void child.kill('SIGKILL'))
  const said = { out: '', err: '' }
  child.stdout.on('data', chunk => {
    said.out += chunk
  })
  child.stderr.on('data', chunk => {
    said.err += chunk
  })
  return { child, said, ended: once(child, 'close') }
}

const started = async (env: Record<string, string> = {}) => {
  const running = start(env)
  while (!/Password .*\n/.test(running.said.out))
    await Promise.race([once(running.child.stdout, 'data'), running.ended.then(() => expect.fail(running.said.err))])
  const [face = '', , control = ''] = running.said.out.match(/http:\/\/\S+/g) ?? []
  return { ...running, face, control }
}

describe('the program', () => {
  test.for(['SIGINT', 'SIGTERM'] as const)('says where it listens, answers, and ends at once on %s', async signal => {
    const { child, said, ended, face } = await started()
    const reply = await fetch(`${face}?class=user&method=getbalance&user=demo@sandbox.invalid&password=fake-sandbox-password`)
    const silent = fetch(
      `${face}?class=chat&method=getmessages&user=demo@sandbox.invalid&password=fake-sandbox-password&platform=whatsapp&platformid=100&destination=silent`,
    )
    const lost = expect(silent).rejects.toThrow()

    expect(await reply.json()).toEqual({ status: 'SUCCESS', result: '100.00' })
    expect(said.out).toMatch(/\/api\/http\/ .*\/api\/basic\/.*demo@sandbox\.invalid.*fake-sandbox-password/s)
    child.kill(signal)
    expect(await ended).toEqual([0, null])
    await lost
    expect(said.err).toBe('')
  })

  test('never shows a password of somebody’s own', async () => {
    const { said, control, face, child, ended } = await started({ SANDBOX_PASSWORD: 'canary' })
    const reply = await fetch(`${face}?class=user&method=getbalance&user=demo@sandbox.invalid&password=canary`)

    expect(await reply.json()).toMatchObject({ status: 'SUCCESS' })
    expect(await (await fetch(`${control}calls`)).text()).not.toContain('canary')
    child.kill()
    await ended
    expect(said.out + said.err).not.toContain('canary')
  })

  test('names every mistake and exits with 78', async () => {
    const { said, ended } = start({ SANDBOX_HOST: 'a b', SANDBOX_PORT: '65536', SANDBOX_CONTROL_PORT: 'x', SANDBOX_PASSWORD: 'canary\n' })

    expect(await ended).toEqual([78, null])
    expect(said.err.match(/^SANDBOX_\w+: expected/gm)).toHaveLength(4)
    expect(said.err).not.toContain('canary')
  })

  test('says when a port is taken', async () => {
    const sandbox = await startSandbox()
    onTestFinished(() => sandbox.close())
    const { said, ended } = start({ SANDBOX_CONTROL_PORT: new URL(sandbox.controlUrl).port })

    expect(await ended).toEqual([1, null])
    expect(said.err).toBe(
      `The sandbox cannot start: EADDRINUSE: address already in use ${new URL(sandbox.controlUrl).host} (SANDBOX_PORT and SANDBOX_CONTROL_PORT choose others; 0 is any free one)\n`,
    )
  })

  test('refuses arguments, which it would not heed', async () => {
    const { said, ended } = start({}, '--port', '5000')

    expect(await ended).toEqual([78, null])
    expect(said.err).toBe('The sandbox takes no arguments; variables such as SANDBOX_PORT set it up\n')
  })
})
