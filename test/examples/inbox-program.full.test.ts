import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

test.for([
  [{}, 'GATEWAY_KEY is not set; write an API key of the gateway'],
  [{ GATEWAY_KEY: 'afgw_fake', GATEWAY_URL: 'localhost:3000' }, 'GATEWAY_URL is not a URL such as http://127.0.0.1:3000'],
  [{ GATEWAY_KEY: 'afgw_fake', PORT: '65536' }, 'PORT is not a port (0 to 65535)'],
] as const)('The program of the inbox says why it cannot start: %j', ([env, issue]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['examples/inbox/server/main.ts'], { encoding: 'utf8', env })

  expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: `The inbox cannot start: ${issue}\n` })
})
