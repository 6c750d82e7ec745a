import { expect } from 'vitest'
import { ConfigError, readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/variables.ts'

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
