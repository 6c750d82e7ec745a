import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type OutputOptions, rolldown } from 'rolldown'
import { afterAll, beforeAll } from 'vitest'
import config from '../rolldown.config.ts'

/** Builds what the image runs, beside package.json as there, for the tests of one file; returns the path of the program. */
export function buildBundle(): string {
  const folder = mkdtempSync(join(import.meta.dirname, '../dist-'))
  beforeAll(async () => {
    const { output, ...options } = config as { output: OutputOptions } // one configuration, not a list
    const built = await rolldown(options)
    await built.write({ ...output, dir: folder })
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  return join(folder, 'main.js')
}
