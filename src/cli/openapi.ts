import { writeFile } from 'node:fs/promises'
import { createApp } from '../app.ts'
import { readConfig } from '../config/config.ts'
import { configurationPage, envExample } from '../config/documentation.ts'
import { schemaText } from '../config/file-schema.ts'
import { unobserved } from '../events.ts'
import { createLifecycle } from '../lib/lifecycle.ts'
import type { Media } from '../media/media.ts'
import { openapiText } from '../plugins/docs.ts'
import { catalogue, type ProblemCode } from '../problem/catalogue.ts'
import { explain } from '../routes/problems.ts'
import type { Sends } from '../sends/sends.ts'
import { createLogger } from '../telemetry/log.ts'
import type { Tokens } from '../tokens/tokens.ts'
import { createUpstream } from '../upstream/upstream.ts'

/** Makes the OpenAPI document of a gateway without a public URL, as the repository keeps it. */
export async function generate(): Promise<string> {
  const config = readConfig({ AFILNET_USER: 'nobody', AFILNET_PASSWORD: 'is not needed', GATEWAY_KEY_SHA256: '01'.repeat(32) })
  const [sends, tokens, media] = [{} as Sends, {} as Tokens, {} as Media] // routes are declared, none is called
  const state = () => ({ store: 'ok', credentials: 'ok' }) as const
  const app = await createApp({
    config,
    upstream: createUpstream(config),
    sends,
    tokens,
    live: () => undefined,
    media,
    state,
    logger: createLogger('silent'),
    observe: unobserved,
    lifecycle: createLifecycle(),
  })
  return openapiText(app)
}

/** `docs/errors.md`: every error with what it means, who must act and whether to repeat. */
export function errorsPage(): string {
  const sections = (Object.keys(catalogue) as ProblemCode[]).map(code => {
    const { status, title, meaning, retry } = explain(code)
    return `## ${code}\n\nHTTP ${status}. ${title}.\n\n${meaning}\n\nRepeat the request? ${retry}\n`
  })
  return `${intro}\n${sections.join('\n')}`
}

const intro = `# Errors

<!-- Made by npm run generate from src/problem/catalogue.ts: change the texts there. -->

Every error is \`application/problem+json\` (RFC 9457). Decide on these members:

- \`code\` is stable. Each code has a section below, and the gateway explains it at \`GET /problems/{code}\`.
- \`outcome\` is \`not_applied\` (nothing happened at Afilnet) or \`unknown\` (a message may have been sent).
- \`retry\` is \`yes\` (repeat the request), \`same-key\` (repeat it with the same \`Idempotency-Key\`) or \`no\`.
- \`errors\` names the part of the request that is refused; of several, the first that was found. \`pointer\` is a JSON pointer into the body. With \`in\` (\`path\`, \`query\` or \`header\`), it is \`/\` and the name of the parameter.
- \`upstreamCode\` is the error code of Afilnet, if there is one. \`sendId\` names the send for \`GET /sends/{id}\`. \`requestId\` finds the request in the log.
`

if (import.meta.main) {
  await writeFile(new URL('../../docs/errors.md', import.meta.url), errorsPage())
  await writeFile(new URL('../../openapi/openapi.json', import.meta.url), await generate())
  await writeFile(new URL('../../openapi/gateway-config.schema.json', import.meta.url), schemaText())
  await writeFile(new URL('../../docs/configuration.md', import.meta.url), configurationPage())
  await writeFile(new URL('../../.env.example', import.meta.url), envExample())
}
