import { writeFile } from 'node:fs/promises'
import { createApp } from '../app.ts'
import { readConfig } from '../config/config.ts'
import { configurationPage, envExample } from '../config/documentation.ts'
import { schemaText } from '../config/file-schema.ts'
import { unobserved } from '../events.ts'
import { createLifecycle } from '../lib/lifecycle.ts'
import { openapiText } from '../plugins/docs.ts'
import type { Sends } from '../sends/sends.ts'
import { createLogger } from '../telemetry/log.ts'
import { createUpstream } from '../upstream/upstream.ts'

/** Makes the OpenAPI document of a gateway without a public URL, as the repository keeps it. */
export async function generate(): Promise<string> {
  const config = readConfig({
    AFILNET_USER: 'nobody',
    AFILNET_PASSWORD: 'not needed to read the routes',
    GATEWAY_KEY_SHA256: '01'.repeat(32),
  })
  const sends = {} as Sends // routes are declared, none is called
  const state = () => ({ store: 'ok', credentials: 'ok' }) as const
  const app = await createApp({
    config,
    upstream: createUpstream(config),
    sends,
    state,
    logger: createLogger('silent'),
    observe: unobserved,
    lifecycle: createLifecycle(),
  })
  return openapiText(app)
}

if (import.meta.main) {
  await writeFile(new URL('../../openapi/openapi.json', import.meta.url), await generate())
  await writeFile(new URL('../../openapi/gateway-config.schema.json', import.meta.url), schemaText())
  await writeFile(new URL('../../docs/configuration.md', import.meta.url), configurationPage())
  await writeFile(new URL('../../.env.example', import.meta.url), envExample())
}
