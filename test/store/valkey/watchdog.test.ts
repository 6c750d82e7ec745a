import { setImmediate as turn } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createWatchdog } from '../../../src/store/valkey/watchdog.ts'

test('The watchdog of a server that stays silent gives up later calls, too, without a warning of Node in the log', async () => {
  const warnings: string[] = []
  const note = ({ name }: Error) => void warnings.push(name)
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  const { listen } = createWatchdog(5, () => new Error('silent'))
  const never = new Promise<never>(() => {})

  for (let calls = 0; calls < 2; calls++) await expect(listen(never)).rejects.toThrow('silent')
  await turn()
  expect(warnings).toEqual([])
})
