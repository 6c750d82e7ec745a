import { expect, test } from 'vitest'
import { torture } from './model.ts'

test('2,000 sends through faults and kills are never doubled, and never lost without a word', { timeout: 300_000 }, async () => {
  const tally = await torture({ seed: 4_711, sends: 2_000 })
  process.stdout.write(`${JSON.stringify(tally)}\n`)

  expect(tally.broken).toEqual([])
})
