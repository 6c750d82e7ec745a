import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ConfigError, readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/variables.ts'

/** Where the files of these tests are; the run deletes it. */
export const folder = mkdtempSync(join(tmpdir(), 'gateway-config-'))
let files = 0

/** The path of a new file with this content. */
export function file(content: string | Uint8Array): string {
  const path = join(folder, `file-${++files}`)
  writeFileSync(path, content)
  return path
}

/** The issues in an environment by their paths, in the words of the operator's terminal. */
export function issuesOf(environment: Environment): Record<string, string> {
  try {
    readConfig(environment)
    return {}
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(error.message).not.toContain('fake-canary')
    return Object.fromEntries(error.issues.map(({ path, message }) => [path, message]))
  }
}

/** The same, a line for each. */
export const issueLines = (environment: Environment) =>
  Object.entries(issuesOf(environment)).map(([path, message]) => `${path}: ${message}`)
