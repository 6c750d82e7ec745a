import { createControl } from './control.ts'
import { createEndpoint } from './endpoint.ts'
import type { Shape } from './response-format.ts'
import type { Answer } from './scripted-responses.ts'
import { listen } from './server.ts'
import { type Call, createState, type StateOptions } from './state.ts'
import type { Address, Sent } from './world.ts'

/** A running sandbox, in the hands of the process that started it. */
export type Sandbox = {
  /** Origin of Afilnet's two paths. */
  url: string
  controlUrl: string
  user: string
  password: string
  calls: Call[]
  sent: Sent[]
  /** Added to every answer. */
  latencyMs: number
  /** Queues an answer for the next call that it matches. */
  answer(answer: Answer): void
  /** Changes how regular answers look from now on. */
  shape(partial: Partial<Shape>): void
  /** Forgets all calls, messages and settings; open calls stay open. */
  reset(): void
  /** A customer writes in. */
  receive(message: Address & { message: string }): void
  /** Resolves as soon as that many calls are in `calls`. */
  called(count: number, timeoutMs?: number): Promise<void>
  /** Resolves as soon as the condition holds; it is checked whenever a call comes in or ends, or a customer writes. */
  until(condition: (sandbox: Sandbox) => boolean, timeoutMs?: number): Promise<void>
  /** Ends every connection at once. */
  close(): Promise<void>
}

export type SandboxOptions = StateOptions & { host?: string; port?: number; controlPort?: number }

const origin = (host: string, port: number) => {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** Starts Afilnet's two paths and the control port, the latter on loopback whatever `host` says. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', port = 0, controlPort = 0, ...stateOptions } = options
  const state = createState(stateOptions)
  const endpoint = await listen(createEndpoint(state), host, port)
  const control = await listen(createControl(state), '127.0.0.1', controlPort).catch(async error => {
    await endpoint.close()
    throw error
  })

  const sandbox: Sandbox = {
    url: origin(host, endpoint.port),
    controlUrl: origin('127.0.0.1', control.port),
    user: state.user,
    password: state.password,
    calls: state.calls,
    sent: state.world.sent,
    get latencyMs() {
      return state.latencyMs
    },
    set latencyMs(ms) {
      state.latencyMs = ms
    },
    answer: state.queue,
    shape: partial => {
      state.shape = { ...state.shape, ...partial }
    },
    reset: state.reset,
    receive: message => {
      if (!state.receive(message)) throw new Error(`The sandbox has no channel ${message.platform}/${message.platformid}`)
    },
    called: (count, timeoutMs) =>
      state.until(
        () => state.calls.length >= count,
        () => `Waited for ${count} calls and saw ${state.calls.length}`,
        timeoutMs,
      ),
    until: (condition, timeoutMs) =>
      state.until(
        () => condition(sandbox),
        () => `Waited in vain for ${condition}`,
        timeoutMs,
      ),
    close: async () => {
      state.stopReplies()
      await Promise.all([endpoint.close(), control.close()])
    },
  }
  return sandbox
}
