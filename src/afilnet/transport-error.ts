/** A transport that cannot be used as it is configured, or not now. The message holds no secret. */
export class TransportError extends Error {
  /** Whether another attempt may succeed without a change of the configuration. */
  readonly isTemporary: boolean

  constructor(message: string, { isTemporary = false } = {}) {
    super(message)
    this.name = 'TransportError'
    this.isTemporary = isTemporary
  }
}
