import type { TSchema } from '@sinclair/typebox'
import { AccountRow, CallerRow, WebhookRow } from './file-schema.ts'
import { groups } from './variables.ts'

const made = 'Made by `npm run generate` from src/config; do not edit it by hand.'

const sandbox = `# --- The sandbox (npm run sandbox); the gateway does not read these ---

# The listener that speaks Afilnet's API, and the control listener, which is always on loopback.
#SANDBOX_HOST=127.0.0.1
#SANDBOX_PORT=4010
#SANDBOX_CONTROL_PORT=4011

# Replaces the sandbox's own (fake) password; for tests.
#SANDBOX_PASSWORD=
`

/** The text of `.env.example`: every variable with its default. */
export function envExample(): string {
  const parts = groups.map(({ title, intro, variables }) => {
    const comment = intro === undefined ? '' : `${intro.replaceAll(/^/gm, '# ')}\n\n`
    const examples = Object.entries(variables).map(([name, schema]) => exampleOf(name, schema))
    return `# --- ${title} ---\n\n${comment}${examples.join('\n')}`
  })
  const head = `# The configuration of the gateway: every variable with its default.
# ${made}
#
#   cp .env.example .env      then set the three required variables; npm start reads .env
#   npm start -- --check      prints every issue, or the configuration with secrets masked
#
# Put values with #, $, quotes or blanks at their ends between single quotes, or into a file.
# An empty value counts as not set. If anything is wrong, the process reports all of it by name and exits with 78.
`
  return [head, ...parts, sandbox].join('\n')
}

function exampleOf(name: string, schema: TSchema): string {
  const required = schema.default === undefined && schema.example === ''
  const value = schema.default ?? schema.example
  const file = schema.secret ? `#${name}_FILE=/run/secrets/${name.toLowerCase().replaceAll('_', '-')}\n` : ''
  return `${wrap(String(schema.description))}\n${required ? '' : '#'}${name}=${value}\n${file}`
}

/** A comment of at most 120 columns. */
function wrap(text: string): string {
  const lines = ['#']
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line.length + word.length + 1 > 120) lines.push(`# ${word}`)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines.join('\n')
}

/** The text of `docs/configuration.md`: the variables and the properties of the file, in tables. */
export function configurationPage(): string {
  const tables = groups.map(({ title, intro, variables }) => {
    const text = intro === undefined ? '' : `${paragraphs(intro)}\n\n`
    const rows = Object.entries(variables).map(([name, schema]) => [
      `\`${name}\`${schema.secret ? ` or \`${name}_FILE\`` : ''}`,
      schema.default === undefined ? (schema.example === '' ? 'required' : defaultIn(schema)) : `\`${schema.default}\``,
      String(schema.description),
    ])
    return `## ${title}\n\n${text}${table(['variable', 'default', 'meaning'], rows)}`
  })
  return `# Configuration

<!-- ${made} -->

The gateway reads its environment once at start. It reloads the file of \`GATEWAY_CONFIG\` and secret files when they change; a new
\`AFILNET_PROXY\`, \`STORE_URL\` or \`QUEUE_KEY\` counts after a restart, and the log says so.
\`npm start -- --check\` prints every issue and exits with 78, or prints the configuration by the names of its variables,
with secrets masked, and exits with 0. Warnings go to standard error and do not change the exit code.

\`npm start\` also reads \`.env\`, if there is one: copy \`.env.example\`. A variable of the environment wins over one in \`.env\`.
A variable with a \`…_FILE\` form is a secret: the file holds only its value, in UTF-8 without a byte order mark. One newline at its end is ignored;
an empty file is refused.

${tables.join('\n\n')}

## The file of GATEWAY_CONFIG

\`openapi/gateway-config.schema.json\` is its JSON Schema, for editors; \`openapi/gateway-config.example.json\` is an annotated example.
It has the objects \`accounts\` and \`callers\`, and may have \`webhooks\`. The keys of each are names.

### accounts

${table(['property', 'required', 'meaning'], rowsOf(AccountRow))}

### callers

${table(['property', 'required', 'meaning'], rowsOf(CallerRow))}

### webhooks

${table(['property', 'required', 'meaning'], rowsOf(WebhookRow))}
`
}

const rowsOf = ({ properties, required = [] }: { properties: Record<string, TSchema>; required?: string[] | undefined }) =>
  Object.entries(properties).map(([name, { description }]) => [`\`${name}\``, required.includes(name) ? 'yes' : 'no', String(description)])

/** A default that depends on something is in the text. */
const defaultIn = ({ description }: TSchema) => (/\bdefault\b/i.test(String(description)) ? 'see text' : 'none')

/** Indented lines of a comment become a block of code. */
const paragraphs = (text: string) => text.replace(/((?:^ {2}.*\n)+)/gm, block => `\n${block.replaceAll(/^ {2}/gm, '    ')}\n`)

const table = (head: string[], rows: string[][]) =>
  [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.map(cell => cell.replace(/[|<]/g, '\\$&')).join(' | ')} |`).join('\n')
