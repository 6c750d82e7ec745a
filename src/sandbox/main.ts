import { isIP } from 'node:net'
import { type SandboxOptions, startSandbox } from './app.ts'
import { talkative } from './customers.ts'
import { fakePassword } from './redaction.ts'

const isHost = (text: string) => isIP(text) > 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(text)
const isPort = (text: string) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535
const isPassword = (text: string) => /^\P{Cc}+$/u.test(text)

const settings = {
  SANDBOX_HOST: ['127.0.0.1', 'an address or a host name', isHost],
  SANDBOX_PORT: ['4010', 'a port from 0 to 65535', isPort],
  SANDBOX_CONTROL_PORT: ['4011', 'a port from 0 to 65535', isPort],
  SANDBOX_PASSWORD: [fakePassword, 'at least one character and no control characters', isPassword],
} as const satisfies Record<string, [fallback: string, expected: string, holds: (text: string) => boolean]>

type Name = keyof typeof settings

const value = (name: Name) => process.env[name] || settings[name][0]

const names = Object.keys(settings) as Name[] // the table's own keys
const issues = names.filter(name => !settings[name][2](value(name))).map(name => `${name}: expected ${settings[name][1]}`)
if (process.argv.length > 2) issues.push('The sandbox takes no arguments; variables such as SANDBOX_PORT set it up')
const [port, controlPort] = [Number(value('SANDBOX_PORT')), Number(value('SANDBOX_CONTROL_PORT'))]
if (port !== 0 && port === controlPort) issues.push('SANDBOX_CONTROL_PORT: expected another port than SANDBOX_PORT')

async function run(options: SandboxOptions) {
  const starting = startSandbox(options)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, async () => (await starting).close())

  const { url, controlUrl, user, password, clientId, clientSecret } = await starting
  const shown = password === fakePassword ? password : 'the one in SANDBOX_PASSWORD'
  process.stdout.write(
    [
      'Sandbox of Afilnet: no message leaves this machine.',
      `  Afilnet   ${url}/api/http/  ${url}/api/basic/`,
      `  SOAP      ${url}/api/soap/?wsdl`,
      `  JSON      ${url}/api/json/  with tokens of ${url}/oauth/token (client ${clientId}, secret ${clientSecret})`,
      `  Control   ${controlUrl}/`,
      `  User      ${user}`,
      `  Password  ${shown}`,
      '',
    ].join('\n'),
  )
}

const fail = (exitCode: number, lines: readonly string[]) => {
  process.stderr.write(lines.map(line => `${line}\n`).join(''))
  process.exitCode = exitCode
}

if (issues.length > 0) fail(78, issues)
else {
  const options = { host: value('SANDBOX_HOST'), port, controlPort, password: value('SANDBOX_PASSWORD'), customers: talkative }
  await run(options).catch(({ code, message }: NodeJS.ErrnoException) => {
    const hint = code === 'EADDRINUSE' ? ' (SANDBOX_PORT and SANDBOX_CONTROL_PORT choose others; 0 is any free one)' : ''
    fail(1, [`The sandbox cannot start: ${message.replace(/^listen /, '')}${hint}`])
  })
}
