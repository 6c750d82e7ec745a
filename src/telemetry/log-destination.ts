import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Takes some bytes and reports how many it wrote, as `fs.write` does. */
export type Sink = {
  write(bytes: Buffer, done: (error: Error | null, written: number) => void): void
  /** For the last lines before the process ends; must not block. */
  writeNow?(bytes: Buffer): number
}

/** Where pino's lines go: never blocks, never fails, and drops lines rather than memory. */
export type LogDestination = ReturnType<typeof createLogDestination>

/** A write that takes longer than this at the end of the process counts as stuck. */
const stuckMs = 1_000
const flushBytes = 8_192

type Limits = { flushMs?: number; maxBytes?: number; retryMs?: number }

/**
 * Collects lines and writes them together, since a system call for each would cost more than the rest of a line.
 *
 * A sink that stalls or fails is retried endlessly. Meanwhile at most `maxBytes` wait; lines beyond that are dropped and counted.
 */
export function createLogDestination(sink: Sink, { flushMs = 100, maxBytes = 4_194_304, retryMs = 250 }: Limits = {}) {
  let lines: string[] = []
  let length = 0 // of `lines`, in UTF-16 units: the bound is on memory
  let chunk: Buffer | undefined // what the sink has not taken yet of the lines before
  let writing = false
  let delayMs = 0 // before the next try; 0 while the sink takes lines
  let timer: NodeJS.Timeout | undefined
  let dropped = 0
  let reported = 0
  const waiters: (() => void)[] = []
  const nextWrite = () => new Promise<void>(resolve => waiters.push(resolve))

  const destination = {
    get dropped() {
      return dropped
    },
    /** Called with the number of dropped lines when the sink takes lines again. */
    onResumed: (_dropped: number) => {},
    write(line: string) {
      if (length + (chunk?.length ?? 0) + line.length > maxBytes) return void dropped++
      lines.push(line)
      length += line.length
      if (length >= flushBytes && delayMs === 0) flush()
      else timer ??= setTimeout(flush, flushMs).unref()
    },
    /** Resolves once the sink has every line, or after `withinMs`; `false` if a write is still under way, which holds up the end of the process. */
    async flush(withinMs: number): Promise<boolean> {
      const end = performance.now() + withinMs
      while ((chunk || lines.length > 0) && performance.now() < end) {
        flush()
        await Promise.race([nextWrite(), sleep(Math.min(retryMs, Math.max(0, end - performance.now())))])
      }
      // On a busy machine a write may take long without being stuck.
      if (writing) await Promise.race([nextWrite(), sleep(stuckMs, undefined, { ref: false })])
      return !writing
    },
    /** Writes what is left without waiting, for the `exit` event. */
    flushNow() {
      take()
      if (writing || !chunk || !sink.writeNow) return
      try {
        chunk = chunk.subarray(sink.writeNow(chunk))
      } catch {} // the process ends, and there is no other place to report it
    },
  }

  function take() {
    if (chunk || lines.length === 0) return
    chunk = Buffer.from(lines.join(''))
    lines = []
    length = 0
  }

  function flush() {
    clearTimeout(timer)
    timer = undefined
    if (writing) return
    take()
    if (!chunk) return
    writing = true
    sink.write(chunk, written)
  }

  function written(error: Error | null, bytes: number) {
    writing = false
    delayMs = error ? Math.min(Math.max(2 * delayMs, 5), retryMs) : 0 // a reader that is only slow makes room within milliseconds
    if (!error && chunk) chunk = bytes < chunk.length ? chunk.subarray(bytes) : undefined
    if (error) timer ??= setTimeout(flush, delayMs).unref()
    else if (chunk || length >= flushBytes) flush()
    else if (dropped > reported) {
      const unreported = dropped - reported
      reported = dropped
      destination.onResumed(unreported)
    }
    for (const resolve of waiters.splice(0)) resolve()
  }

  return destination
}

/**
 * A file descriptor as a sink.
 *
 * A pipe is opened anew as non-blocking: a write into one without a reader would otherwise block a thread, and with it the end of the
 * process. Its flags cannot be changed in place, since other processes share them.
 */
export function sinkOf(fd: number): Sink {
  const stat = fstatSync(fd)
  const own = stat.isFIFO() ? reopen(fd) : undefined
  const target = own ?? fd
  return {
    write: (bytes, done) => write(target, bytes, done),
    ...((own !== undefined || stat.isFile()) && { writeNow: bytes => writeSync(target, bytes) }),
  }
}

function reopen(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return undefined // not on Linux, no right to it, or no reader yet
  }
}
