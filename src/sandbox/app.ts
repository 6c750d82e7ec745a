import { createControl } from './control.ts'
import { createEndpoint } from './endpoint.ts'
import { type AccountHandle, createHandle } from './handle.ts'
import { clientId, type OAuth } from './oauth.ts'
import type { ScriptedResponse } from './scripted-responses.ts'
import { listen } from './server.ts'
import { type Call, createState, type StateOptions } from './state.ts'

/** A running sandbox, in the hands of the process that started it. */
export type Sandbox = AccountHandle & {
  /** Origin of Afilnet's paths. */
  url: string
  controlUrl: string
  password: string
  /** Another account with the same password; the sandbox itself is the handle of the first one. */
  account(user: string): AccountHandle
  clientId: string
  clientSecret: string
  /** The token endpoint: what it was asked, and the tokens that it gives. */
  oauth: Pick<OAuth, 'requests' | 'expiresInS' | 'validForS' | 'revoke'>
  calls: Call[]
  /** Added to every answer. */
  latencyMs: number
  /** Queues an answer for the next call that it matches. */
  answer(answer: ScriptedResponse): void
  /** Forgets all calls, messages and settings; open calls stay open. */
  reset(): void
  /** Resolves as soon as that many calls are in `calls`. */
  called(count: number): Promise<void>
  /** Resolves as soon as the condition holds; it is checked whenever a call comes in or ends, or a customer writes. */
  until(condition: (sandbox: Sandbox) => boolean): Promise<void>
  /** Ends every connection at once. */
  close(): Promise<void>
}

export type SandboxOptions = StateOptions & { host?: string; port?: number; controlPort?: number }

const origin = (host: string, port: number) => {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** Starts Afilnet's paths and the control port, the latter on loopback whatever `host` says. */
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
    ...createHandle(state.main, state.changed),
    password: state.password,
    account: user => createHandle(state.openAccount(user), state.changed),
    clientId,
    clientSecret: state.clientSecret,
    oauth: state.oauth,
    calls: state.calls,
    get latencyMs() {
      return state.latencyMs
    },
    set latencyMs(ms) {
      state.latencyMs = ms
    },
    answer: state.queue,
    reset: state.reset,
    called: count => state.until(() => state.calls.length >= count),
    until: condition => state.until(() => condition(sandbox)),
    close: async () => {
      state.stop()
      await Promise.all([endpoint.close(), control.close()])
    },
  }
  return sandbox
}
