import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createDeadline } from '../../src/lib/deadline.ts'
import { withTimeout } from '../../src/lib/timeout.ts'

const waits: Record<string, (ms: number, work: Promise<unknown>) => Promise<unknown>> = {
  'a deadline': (ms, work) => createDeadline(ms).wait(work),
  'a timeout': (ms, work) => withTimeout(ms, work, () => new Error('too late')).then(() => true),
}

test.for(Object.entries(waits))('%s lets work end that came in time, although the event loop stood still beyond it', async ([, wait]) => {
  const { port1, port2 } = new MessageChannel()
  const work = once(port1, 'message')
  await turn()
  const waiting = wait(5, work)
  port2.postMessage('done')
  const until = performance.now() + 20
  while (performance.now() < until); // the event loop stands still

  expect(await waiting).toBe(true)
  port1.close()
})

test.for(Object.entries(waits))('%s leaves no timer behind work that has ended', async ([, wait]) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  await wait(60_000, Promise.resolve())
  await wait(60_000, Promise.reject(new Error('failed'))).catch(() => {})

  expect(vi.getTimerCount()).toBe(0)
})

test('A deadline rejects for no work, whether it fails or is late', async () => {
  const deadline = createDeadline(5)
  const past = createDeadline(-1)

  expect(await deadline.wait(Promise.reject(new Error('failed')))).toBe(false)
  expect(await deadline.wait(new Promise(() => {}))).toBe(false)
  expect(await past.wait(Promise.resolve()), 'a turn of the event loop is left').toBe(true)
  expect(past.leftMs()).toBe(0)
})
