import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { WorkerClient } from '../../src/lib/worker-client.ts'

/** Answers each call with its name and its arguments; `hang` waits until the test wakes it. */
const code = `
  const { parentPort, workerData } = require('node:worker_threads')
  parentPort.on('message', ([about, ...calls]) => {
    const reply = [about]
    for (let n = 0; n < calls.length; n += 2) {
      if (calls[n] === 'hang') Atomics.wait(workerData, 0, 0)
      reply.push(calls[n] === 'refuse' ? 'refused' : null, [calls[n], ...calls[n + 1]])
    }
    parentPort.postMessage(reply)
    Atomics.store(workerData, 1, 1)
    Atomics.notify(workerData, 1)
  })`

function open({ closeMs = 60_000 } = {}) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const gate = new Int32Array(new SharedArrayBuffer(8))
  const threads: Worker[] = []
  const lost: string[] = []
  const client = new WorkerClient({
    start() {
      const thread = new Worker(code, { eval: true, workerData: gate })
      threads.push(thread)
      return thread
    },
    about: () => 0,
    onReply: () => {},
    onLost: why => lost.push(why),
    errors: {
      refused: error => new Error(String(error)),
      lost: (why, wasSent) => new Error(`${why}, ${wasSent ? 'sent' : 'not sent'}`),
    },
    silentMs: 1_000,
    startMs: 5_000,
    closeMs,
    batchMax: 2,
  })
  const wake = () => {
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
  }
  onTestFinished(async () => {
    vi.useRealTimers()
    wake()
    await client.close()
  })
  return {
    client,
    threads,
    lost,
    wake,
    hold: () => Atomics.store(gate, 0, 0),
    /** The event loop stands still until the thread has answered, and longer. */
    standStill() {
      Atomics.wait(gate, 1, 0)
      vi.advanceTimersByTime(60_000)
    },
    /** Lets the clock go on, and the work of a turn before and after. */
    async pass(ms: number) {
      await turn()
      vi.advanceTimersByTime(ms)
      await turn()
    },
  }
}

const endsOf = async (calls: Promise<unknown>[]) =>
  (await Promise.allSettled(calls)).map(end => (end.status === 'fulfilled' ? end.value : end.reason.message))

describe('A thread', () => {
  test('answers each call by itself, in its order', async () => {
    const { client } = open()
    const ends = endsOf([client.call('one', [1, 'a']), client.call('refuse', []), client.call('three', [])])

    expect(await ends).toEqual([['one', 1, 'a'], 'refused', ['three']])
  })

  test('that hangs is lost after a while, refuses at once from then on, and is back with its answer', async () => {
    const { client, threads, lost, wake, pass } = open()
    await client.call('first', [])
    const ends = endsOf(['hang', 'sent with it', 'behind it'].map(name => client.call(name, [])))
    await pass(999)
    expect(lost).toEqual([])
    await pass(1)

    expect(lost).toEqual(['silent'])
    expect(await ends).toEqual(['silent, sent', 'silent, sent', 'silent, not sent'])
    expect(await endsOf([client.call('later', [])])).toEqual(['silent, not sent'])
    const answered = once(threads[0] as Worker, 'message')
    wake()
    await answered
    expect(await client.call('again', [])).toEqual(['again'])
    expect(lost).toEqual(['silent'])
  })

  test('that has answered while the event loop stood still is not lost, nor is the batch after that', async () => {
    const { client, lost, standStill } = open()
    const ends = endsOf(['one', 'two', 'three'].map(name => client.call(name, [])))
    await turn()
    standStill()

    expect(await ends).toEqual([['one'], ['two'], ['three']])
    expect(lost).toEqual([])
  })

  test('may take longer for its first batch, and as long as it likes for a slow call', async () => {
    const { client, lost, wake, hold, pass } = open()
    const first = client.call('hang', [])
    await pass(4_999)
    wake()
    expect(await first).toEqual(['hang'])
    hold()
    const slow = client.call('hang', [], true)
    await pass(3_600_000)
    wake()

    expect(await slow).toEqual(['hang'])
    expect(lost).toEqual([])
  })

  test('that dies is followed by another one, also where it was silent before', async () => {
    const { client, threads, lost, wake, pass } = open()
    const ends = endsOf(['hang', 'sent with it'].map(name => client.call(name, [])))
    await pass(5_000)
    expect(await ends).toEqual(['silent, sent', 'silent, sent'])
    await threads[0]?.terminate()
    wake()

    expect(await client.call('again', [])).toEqual(['again'])
    expect([threads.length, lost]).toEqual([2, ['silent', 'dead']])
  })

  test('ends with its last answer, or soon where it hangs', async () => {
    const [busy, hung] = [open(), open({ closeMs: 1 })]
    const calls = ['one', 'two', 'three'].map(name => busy.client.call(name, []))
    const ends = endsOf([...calls, hung.client.call('hang', [])])
    await turn()
    const closing = [busy, hung, hung].map(({ client }) => client.close())

    expect(await ends).toEqual([['one'], ['two'], ['three'], 'dead, sent'])
    await Promise.all(closing)
    expect(await endsOf([busy.client.call('later', [])])).toEqual(['closed, not sent'])
    expect([busy, hung].flatMap(({ threads, lost }) => [threads.map(({ threadId }) => threadId), lost])).toEqual([[-1], [], [-1], []])
  })

  test('is not started to be ended', async () => {
    const { client, threads } = open()
    await client.close()

    expect(threads).toEqual([])
  })
})
