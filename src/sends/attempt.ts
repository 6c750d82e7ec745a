/** One send that is ready to leave. `Sends.run` calls `admit` once before it records the send, and `run` once after. */
export type SendAttempt = {
  /**
   * Throws if the send could not leave now, so that it need not be recorded: an `UpstreamError`, or the problem of a file that has gone.
   *
   * A key that is taken gets its stored result all the same.
   */
  admit(): void
  /**
   * Sends; resolves once Afilnet accepted the message, and throws an `UpstreamError` otherwise.
   *
   * `onLateResult` is called if the result arrives after the deadline: with an error, or with nothing if Afilnet accepted the message.
   */
  run(onLateResult: (error?: unknown) => void): Promise<void>
  /** Called if the answer is the result of an earlier attempt. Another process may have made it, so cached reads are out of date here, too. */
  onReplay?(): void
}

/** An attempt that cannot be made. */
export function refused(error: unknown): SendAttempt {
  const refuse = () => {
    throw error
  }
  return { admit: refuse, run: async () => refuse() }
}
