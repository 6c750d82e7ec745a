import { createControl } from './control.ts'
import { createFace } from './endpoint.ts'
import type { Shape } from './response-format.ts'
import type { Answer } from './scripted-responses.ts'
import { listen } from './server.ts'
import { type Call, createDesk, type DeskOptions } from './state.ts'
import type { Address, Sent } from './world.ts'

/** A running sandbox, in the hands of the process that started it. */
export type Sandbox = {
  /** Origin of Afilnet's face, without a path. */
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
  /** Forgets all that happened and all that it was told; what is open stays open. */
  reset(): void
  /** A customer writes in. */
  receive(message: Address & { message: string }): void
  /** Resolves as soon as that many calls are in `calls`. */
  called(count: number, timeoutMs?: number): Promise<void>
  /** Resolves as soon as the condition holds; it is looked at whenever a call comes in or ends, or a customer writes. */
  until(condition: (sandbox: Sandbox) => boolean, timeoutMs?: number): Promise<void>
  /** Ends every connection at once. */
  close(): Promise<void>
}

export type SandboxOptions = DeskOptions & { host?: string; port?: number; controlPort?: number }

const origin = (host: string, port: number) => {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** Starts Afilnet's face and the control surface, the latter on loopback whatever `host` says. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', port = 0, controlPort = 0, ...deskOptions } = options
  const desk = createDesk(deskOptions)
  const face = await listen(createFace(desk), host, port)
  const control = await listen(createControl(desk), '127.0.0.1', controlPort).catch(async error => {
    await face.close()
    throw error
  })

  const sandbox: Sandbox = {
    url: origin(host, face.port),
    controlUrl: origin('127.0.0.1', control.port),
    user: desk.user,
    password: desk.password,
    calls: desk.calls,
    sent: desk.world.sent,
    get latencyMs() {
      return desk.latencyMs
    },
    set latencyMs(ms) {
      desk.latencyMs = ms
    },
    answer: desk.queue,
    shape: partial => {
      desk.shape = { ...desk.shape, ...partial }
    },
    reset: desk.reset,
    receive: message => {
      if (!desk.receive(message)) throw new Error(`The sandbox has no channel ${message.platform}/${message.platformid}`)
    },
    called: (count, timeoutMs) =>
      desk.until(
        () => desk.calls.length >= count,
        () => `Waited for ${count} calls and saw ${desk.calls.length}`,
        timeoutMs,
      ),
    until: (condition, timeoutMs) =>
      desk.until(
        () => condition(sandbox),
        () => `Waited in vain for ${condition}`,
        timeoutMs,
      ),
    close: async () => {
      desk.stopReplies()
      await Promise.all([face.close(), control.close()])
    },
  }
  return sandbox
}
