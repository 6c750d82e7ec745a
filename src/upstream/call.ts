import type { ChatLimit } from '../access.ts'
import type { Operation, Params } from '../afilnet/operations.ts'
import type { Cancellation } from '../lib/cancellation.ts'
import type { Body, ChannelItem, MessageItem } from './list-body.ts'

/** What one request brings along for its calls to Afilnet, and what is learnt of them for the log. */
export type Call = {
  caller: string
  account: Account
  /** Cancelled when the caller leaves. Only safe reads end with it. */
  cancellation: Cancellation
  /** From when on a queued send must not leave any more; epoch milliseconds. */
  expiresAt?: number | undefined
  /** Set as soon as a call that is not safe may leave. */
  unsafeStarted?: boolean
  upstreamMs?: number
  upstreamCode?: string
}

/** A send that is ready to leave; `sends/` declares what it needs of one. */
export type SendAttempt = { admit(): void; run(onLateResult: (error?: unknown) => void): Promise<void>; onReplay(): void }

/** A list that the gateway reads for itself. */
export type Listing<O extends Operation = Operation> = {
  /** Absent if Afilnet's bytes are those of the known digest. */
  items?: readonly (O['kind'] extends 'channels' ? ChannelItem : MessageItem)[]
  digest: string
  /** Epoch milliseconds: when the call began, its wait for a slot excluded, and when the answer had arrived. */
  beganAt: number
  endedAt: number
  /** Afilnet's own clock: the `Date` header. */
  date: string | undefined
}

/** An account as it stood when a request arrived: a reload does not change it under the request. */
export type Account = {
  readonly name: string
  /** Afilnet's user of the account. */
  readonly user: string
  /** Whether its Afilnet is on this machine. */
  readonly isLocal: boolean
  /**
   * A read, as callers get it. Identical safe reads at one time share one call; a caller that is limited to some `chats` sees only those.
   *
   * Throws an `UpstreamError` with any row of `faults` or `failures`; the reason of `call.cancellation` where a safe read was cancelled.
   */
  read<O extends Operation>(operation: O, params: Params<O>, call: Call, chats?: readonly ChatLimit[]): Promise<Body>
  /**
   * A read that no caller waits for: it gives way to them, takes a quarter of the connections at most, and never comes from the cache.
   *
   * Throws an `UpstreamError` with any row of `faults` or `failures`.
   */
  background<O extends Operation>(operation: O, params: Params<O>, knownDigest?: string): Promise<Listing<O>>
  /**
   * A send, ready to leave: never shared, never cancelled by its caller, retried only if nothing left.
   *
   * Throws an `UpstreamError` (`requestTooLong`) if the transport cannot carry it. `admit` throws `overloaded`, `circuitOpen` or
   * `INCORRECT_USER_PASSWORD`; `run` rejects with any row of `faults` or `failures`.
   */
  prepareSend<O extends Operation>(operation: O, params: Params<O>, call: Call): SendAttempt
}

/** Sees one attempt at a call begin; what it returns is called with the end of the attempt. */
export type TraceAttempt = (call: Call, operation: Operation) => (error?: unknown) => void
