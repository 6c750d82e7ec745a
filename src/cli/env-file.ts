import { existsSync, readFileSync } from 'node:fs'
import { readIssue, textOf } from '../config/secrets.ts'

// For npm scripts, before the program. Node's own --env-file-if-exists prints a line where there is no file.
if (existsSync('.env')) {
  const issue = envFileIssue()
  if (issue !== undefined) {
    process.stderr.write(`.env ${issue}\n`)
    process.exit(78)
  }
  process.loadEnvFile('.env')
}

/** Why `.env` cannot be used: Node calls one that it may not read one that does not exist, and finds nothing in UTF-16. */
function envFileIssue(): string | undefined {
  try {
    return textOf(readFileSync('.env')).issue
  } catch (error) {
    return readIssue(error as NodeJS.ErrnoException) // thrown by node:fs
  }
}
