import { ConfigError } from '../config/config.ts'

/** Every issue of a configuration that is not valid. */
export const describeConfigError = (error: ConfigError) => `The configuration is not valid:\n${error.message}`

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
