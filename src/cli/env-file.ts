import { existsSync } from 'node:fs'

// For npm scripts, before the program. Node's own --env-file-if-exists prints a line where there is no file.
if (existsSync('.env')) process.loadEnvFile('.env')
