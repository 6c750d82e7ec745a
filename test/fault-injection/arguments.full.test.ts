import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

test.for([['--help'], ['--minutes', '5m'], ['--seed', 'x'], ['--sedn', '1'], ['10']])('npm run torture explains itself: %s', args => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['test/fault-injection/main.ts', ...args], { encoding: 'utf8' })

  expect([status, stdout]).toEqual([78, ''])
  expect(stderr).toBe('npm run torture -- [--minutes 60] [--seed 1] [--replicas] [--sends] [--events]\n')
})
