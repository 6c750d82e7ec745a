/** One send that is ready to leave. The gateway asks `admit` once before it records the send, and `run` once after. */
export type SendAttempt = {
  /**
   * Throws an `UpstreamError` if the send could not leave now, so that it need not be recorded.
   *
   * Not asked for a key that is taken: its result stands, whatever the state of Afilnet.
   */
  admit(): void
  /**
   * Sends; resolves once Afilnet accepted the message, and throws an `UpstreamError` otherwise.
   *
   * `onLateResult` hears how the send ended if that is known only after the deadline: with an error, or with nothing if Afilnet accepted it.
   */
  run(onLateResult: (error?: unknown) => void): Promise<void>
}
