import { ConfigError } from '../config/config.ts'

/** Every issue of a configuration that is not valid, and the warnings that may explain one. */
export const describeConfigError = ({ message, warnings }: ConfigError) =>
  ['The configuration is not valid:', message, ...warnings.map(warning => `Warning: ${warning}`)].join('\n')

/** Reads the configuration of a program; if it is not valid, prints every issue and ends the process with exit code 78. */
export function configOrExit<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${describeConfigError(error)}\n`)
    process.exit(78)
  }
}
