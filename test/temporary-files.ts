import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'gateway-run-'))

/** Gives a run one folder for all temporary files: `teardown` removes what killed programs and workers leave there. */
export function setup() {
  process.env.TMPDIR = folder
}

export function teardown() {
  rmSync(folder, { recursive: true, force: true })
}
