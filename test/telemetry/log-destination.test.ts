import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createLogDestination, type Sink } from '../../src/telemetry/log-destination.ts'

/** A sink that takes what the test lets it take. */
function sinkThat(takes: (bytes: Buffer) => number | Error) {
  const taken: Buffer[] = []
  const sink: Sink = {
    write(bytes, done) {
      const result = takes(bytes)
      if (typeof result === 'number') taken.push(bytes.subarray(0, result))
      setImmediate(() => (typeof result === 'number' ? done(null, result) : done(result, 0)))
    },
  }
  return { sink, text: () => Buffer.concat(taken).toString() }
}

const error = (code: string) => Object.assign(new Error(code), { code })

describe('createLogDestination', () => {
  test('writes lines together and in order, also where the sink takes a few bytes at a time', async () => {
    let writes = 0
    const { sink, text } = sinkThat(bytes => {
      writes++
      return Math.min(bytes.length, 7)
    })
    const destination = createLogDestination(sink)
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i} ñ€\n`)

    for (const line of lines) destination.write(line)
    expect(writes).toBe(0)

    expect(await destination.flush(10_000)).toBe(true)
    expect(text()).toBe(lines.join(''))
    expect(destination.dropped).toBe(0)
  })

  test.for(['EAGAIN', 'EPIPE', 'ENOSPC', 'EIO'])('tries again after %s and loses nothing within its bound', async code => {
    let failures = 3
    const { sink, text } = sinkThat(bytes => (failures-- > 0 ? error(code) : bytes.length))
    const destination = createLogDestination(sink, { flushMs: 1, retryMs: 5 })

    destination.write('one\n')
    destination.write('two\n')

    await vi.waitFor(() => expect(text()).toBe('one\ntwo\n'), { timeout: 40_000 })
  })

  test('drops and counts what exceeds its bound, and reports it once when the sink takes lines again', async () => {
    let blocked = true
    let writes = 0
    const { sink, text } = sinkThat(bytes => {
      writes++
      return blocked ? error('EAGAIN') : bytes.length
    })
    const destination = createLogDestination(sink, { flushMs: 1, retryMs: 5, maxBytes: 100 })
    const resumed: number[] = []
    destination.onResumed = dropped => void resumed.push(dropped)

    for (let i = 0; i < 30; i++) destination.write('123456789\n')
    expect(destination.dropped).toBe(20)
    await vi.waitFor(() => expect(writes).toBeGreaterThan(0), { timeout: 40_000 })
    destination.write('what the sink has yet to take counts\n')
    expect(destination.dropped).toBe(21)
    blocked = false

    await vi.waitFor(() => expect(resumed).toEqual([21]), { timeout: 40_000 })
    expect(text()).toBe('123456789\n'.repeat(10))
    destination.write('more\n')
    expect(await destination.flush(10_000)).toBe(true)
    expect([destination.dropped, resumed]).toEqual([21, [21]])
    blocked = true
    for (let i = 0; i < 30; i++) destination.write('123456789\n')
    blocked = false
    await vi.waitFor(() => expect(resumed).toEqual([21, 20]), { timeout: 40_000 })
  })

  test('writes 8 kB at once and the rest of it next, and pauses longer after each failure', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const writes: { length: number; done: Parameters<Sink['write']>[1] }[] = []
    const destination = createLogDestination({ write: ({ length }, done) => void writes.push({ length, done }) })
    const line = `${'x'.repeat(8_999)}\n`

    destination.write(line)
    destination.write(line) // while the first is under way
    writes[0]?.done(null, 9_000)
    writes[1]?.done(null, 8_999)
    expect(writes.map(({ length }) => length)).toEqual([9_000, 9_000, 1])
    for (const pauseMs of [5, 10, 20, 40, 80, 160, 250, 250]) {
      const { length } = writes
      writes.at(-1)?.done(error('EAGAIN'), 0)
      destination.write(line)
      vi.advanceTimersByTime(pauseMs - 1)
      expect(writes).toHaveLength(length)
      vi.advanceTimersByTime(1)
      expect(writes).toHaveLength(length + 1)
      expect(writes.at(-1)?.length).toBe(1)
    }
  })

  test('waits a moment longer for a write that is under way', async () => {
    const { promise, resolve } = Promise.withResolvers<() => void>()
    const destination = createLogDestination({ write: ({ length }, done) => resolve(() => done(null, length)) })
    destination.write('x'.repeat(9_000))

    const isWritten = destination.flush(0)
    ;(await promise)()

    expect(await isWritten).toBe(true)
  })

  test('does not fail where the last lines cannot be written', () => {
    const writeNow = () => {
      throw error('EAGAIN')
    }
    const destination = createLogDestination({ write: () => {}, writeNow })
    destination.write('last\n')

    expect(() => destination.flushNow()).not.toThrow()
  })

  test('does not wait for a write that never returns', async () => {
    const destination = createLogDestination({ write: () => {} })
    destination.write('one\n')

    expect(await destination.flush(20)).toBe(false)
  })

  test('writes the last lines at once, unless the sink would block', () => {
    const last: string[] = []
    const destination = createLogDestination({ write: () => {}, writeNow: bytes => last.push(bytes.toString()) })
    destination.write('last\n')

    destination.flushNow()

    expect(last).toEqual(['last\n'])
  })

  test('writes nothing twice at the end while a write is under way', async () => {
    const last: string[] = []
    const destination = createLogDestination({ write: () => {}, writeNow: bytes => last.push(bytes.toString()) })
    destination.write('on its way\n')
    await destination.flush(20)

    destination.flushNow()

    expect(last).toEqual([])
  })
})
