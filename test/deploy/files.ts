import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { Variables } from '../../src/config/variables.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const read = (path: string) => readFileSync(resolve(root, path), 'utf8')
export const find = (pattern: string) => globSync(pattern, { cwd: root }).sort()

type Document = ReturnType<typeof JSON.parse> // the shape of a file is what its test is about

/** The documents of a YAML file, with its merge keys resolved. */
export const documentsIn = (path: string): Document[] =>
  parseAllDocuments(read(path), { merge: true }).map(document => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })

/** Whether the gateway or the sandbox reads a variable of that name. */
export const isVariable = (name: string): boolean => {
  const { properties } = Variables
  const schema = properties[name.replace(/_FILE$/, '') as keyof typeof properties] // undefined for any other name
  if (schema) return !name.endsWith('_FILE') || 'secret' in schema
  return /^SANDBOX_/.test(name) && read('src/sandbox/main.ts').includes(name)
}

export const packageVersion: string = JSON.parse(read('package.json')).version
export const publicPaths: string[] = Object.keys(JSON.parse(read('openapi/openapi.json')).paths)
