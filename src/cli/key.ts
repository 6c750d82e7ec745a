import { parseArgs } from 'node:util'
import { readCaller } from '../config/file.ts'
import { accountName } from '../config/file-schema.ts'
import { makeKey } from '../lib/api-key.ts'
import { printAndExit } from './print-and-exit.ts'

const options = {
  name: { type: 'string' },
  account: { type: 'string' },
  scope: { type: 'string', multiple: true },
  chat: { type: 'string', multiple: true },
  expires: { type: 'string' },
} as const

const usage = `npm run key                                            a key for the one caller in the environment
npm run key -- --name crm --account main --scope messages:send [--scope …] [--chat 'whatsapp/100/*' …] [--expires 90d]

--expires takes days (90d), hours (12h) or a time in RFC 3339.`

/** The row of the configuration for a digest, or the issues of the arguments. */
function rowOf(args: string[], sha256: string): { row: string } | { issues: string[] } {
  const given = parsed(args)
  if (!given) return { issues: [usage] }
  if (Object.keys(given).length === 0) return { row: `  GATEWAY_KEY_SHA256=${sha256}` }
  const { name = '', account, scope, chat, expires } = given
  const caller = {
    keySha256: [sha256],
    ...(account !== undefined && { account }),
    ...(scope && { scopes: scope }),
    ...(chat && { chats: chat }),
    ...(expires !== undefined && { expires: instantOf(expires) }),
  }
  const issues = new Map<string, string>()
  readCaller(name, caller, (path, message) => {
    const argument = argumentOf(path, name)
    issues.set(argument, issues.get(argument) ?? message)
  })
  if (account !== undefined && !new RegExp(accountName).test(account)) issues.set('--account', `is not a name of the form ${accountName}`)
  if (caller.expires !== undefined && Date.parse(caller.expires) <= Date.now()) issues.set('--expires', 'is in the past')
  if (issues.size === 0) return { row: `  ${JSON.stringify(name)}: ${JSON.stringify(caller)}` }
  return { issues: [...[...issues].map(([argument, message]) => `${argument}: ${message}`), '', usage] }
}

/** The argument that a path in the file stands for. */
function argumentOf(path: string, name: string) {
  const property = /\.(account|scopes|chats|expires)\b/.exec(path.slice(`callers.${name}`.length))?.[1]
  return `--${property?.replace(/s$/, property === 'expires' ? 's' : '') ?? 'name'}`
}

/** A time in RFC 3339, from one or from a number of days or hours. The schema refuses anything else. */
function instantOf(expires: string) {
  const [, count, unit] = /^(\d{1,5})([dh])$/.exec(expires) ?? []
  const ms = Number(count) * (unit === 'd' ? 86_400_000 : 3_600_000)
  return unit === undefined ? expires : new Date(Date.now() + ms).toISOString().replace(/\.\d+/, '')
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options }).values
  } catch {
    return undefined // its message quotes what was typed
  }
}

if (import.meta.main) {
  if (/^(-h|--help)$/.test(process.argv[2] ?? '')) {
    process.stdout.write(`${usage}\n`)
    process.exit(0)
  }
  const { key, sha256 } = makeKey()
  const made = rowOf(process.argv.slice(2), sha256)
  if ('issues' in made) {
    process.stderr.write(`${made.issues.join('\n')}\n`)
    process.exit(78)
  }
  await printAndExit(
    `The API key. It is shown only once; give it to the caller:\n\n  ${key}\n\nThe line for the configuration. It holds only the digest of the key:\n\n${made.row}\n`,
    0,
  )
}
