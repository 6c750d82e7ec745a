import { expect, test } from 'vitest'
import { createLogger } from '../../src/telemetry/log.ts'

test('An error is logged with what it is and where it arose, without its message and without what it was about', () => {
  const lines: string[] = []
  const log = createLogger('info', { write: line => void lines.push(line) })
  const error = Object.assign(new TypeError('fake-canary\nof fake-canary lines'), { code: 'EFAKE' })
  log.error({ err: error, req: { url: '/fake-canary' }, res: { fake: 'fake-canary' } }, 'failed')
  log.error({ err: 'fake-canary' }, 'failed')
  const [first, second] = lines.map(line => JSON.parse(line))

  expect(first.err).toEqual({ type: 'TypeError', code: 'EFAKE', at: expect.any(Array) })
  expect(first.err.at[0]).toMatch(/^at .*log\.test\.ts:\d+:\d+\)?$/)
  expect(first.err.at.length).toBeLessThanOrEqual(10)
  expect(second.err).toEqual({ type: 'string' })
  expect(lines.join('')).not.toContain('canary')
})
