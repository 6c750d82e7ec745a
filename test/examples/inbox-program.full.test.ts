import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'

const program = 'examples/inbox/server/main.ts'

test.for([
  [{}, 'GATEWAY_KEY is not set; write an API key of the gateway'],
  [{ GATEWAY_KEY: 'afgw_fake', GATEWAY_URL: 'localhost:3000' }, 'GATEWAY_URL is not a URL such as http://127.0.0.1:3000'],
  [{ GATEWAY_KEY: 'afgw_fake', GATEWAY_URL: 'http://:3000' }, 'GATEWAY_URL is not a URL such as http://127.0.0.1:3000'],
  [{ GATEWAY_KEY: 'afgw_fake', PORT: '65536' }, 'PORT is not a port (0 to 65535)'],
] as const)('The program of the inbox says why it cannot start: %j', ([env, issue]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8', env })

  expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: `The inbox cannot start: ${issue}\n` })
})

test.for(['SIGINT', 'SIGTERM'] as const)('The program of the inbox says where it is, and ends on %s while a page listens', async signal => {
  const env = { GATEWAY_KEY: 'afgw_fake', GATEWAY_URL: 'http://127.0.0.1:9', PORT: '0' }
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const [line] = await once(child.stdout.setEncoding('utf8'), 'data')
  const [, url = ''] = /^Inbox (\S+) \(the gateway needs CORS_ORIGINS=\1\)\n$/.exec(line) ?? []
  const page = await fetch(`${url}/api/events`)
  expect(page.headers.get('content-type')).toBe('text/event-stream')

  child.kill(signal)

  expect(await exited).toEqual([0, null])
})
