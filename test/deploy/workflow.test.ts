import { describe, expect, test } from 'vitest'
import { documentsIn } from './files.ts'

const [workflow] = documentsIn('.github/workflows/ci.yml')
const steps: Record<string, unknown>[] = Object.values<{ steps: [] }>(workflow.jobs).flatMap(({ steps }) => steps)

describe('.github/workflows/ci.yml', () => {
  test('may read the repository, and nothing else', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' })
    expect(JSON.stringify(workflow)).not.toMatch(/secrets\.|publish|"permissions":.*"permissions":/)
  })

  test('runs .ci/run, and foreign code only by its digest', () => {
    expect(steps.at(-1)).toEqual({ run: '.ci/run' })
    for (const { uses } of steps.filter(step => 'uses' in step)) expect(uses).toMatch(/@[0-9a-f]{40}$/)
  })
})
