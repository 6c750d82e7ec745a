import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const generator = `${root}test/tools/generators/node_modules/openapi-typescript/bin/cli.js`

/** Whether the generator is installed; it needs a TypeScript of its own. */
export const canGenerate = existsSync(generator)

/** A value with a default may be left out of a request. */
const options = ['--default-non-nullable=false']

/** The types of the client, as openapi-typescript makes them of the API document. */
export function clientTypes(): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [generator, 'openapi/openapi.json', ...options], {
    cwd: root,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  return stdout
}

if (import.meta.main) {
  const { writeFileSync } = await import('node:fs')
  if (canGenerate) writeFileSync(`${root}client/src/api.ts`, clientTypes())
  else process.stderr.write('client/src/api.ts is as it was: it needs npm ci --prefix test/tools/generators\n')
}
