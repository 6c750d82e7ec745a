import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test as base } from 'vitest'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'

export type Params = Record<string, string>

/** A fresh sandbox for each test, closed afterwards. */
export const test = base.extend<{ sandbox: Sandbox }>({
  sandbox: async ({ task: _ }, use) => {
    const sandbox = await startSandbox()
    await use(sandbox)
    await sandbox.close()
  },
})

export const chat = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }

/** Parameters of a complete call of class chat. */
export const call = (sandbox: Sandbox, method: string, params: Params = {}): Params => ({
  class: 'chat',
  method,
  user: sandbox.user,
  password: sandbox.password,
  ...params,
})

export const form = (params: Params) => new URLSearchParams(params).toString()

/** The header of a user by HTTP Basic. */
export const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

export const formHead = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } }

/** Posts a form as a browser would, and reads the whole answer. */
export const post = async (sandbox: Sandbox, params: Params | string, path = '/api/http/') => {
  const body = typeof params === 'string' ? params : form(params)
  return fetch(sandbox.url + path, { ...formHead, body })
}

export type Envelope = { status: string; error?: string; result: { list: Params[] } }

/** The envelope that a form gets, as the default shape has it. */
export const answerTo = async (sandbox: Sandbox, params: Params) => (await post(sandbox, params)).json() as Promise<Envelope>

/** Posts a form and leaves the answer to the test, which may be no answer at all. */
export const open = (sandbox: Sandbox, params: Params): ClientRequest => {
  const sent = request(`${sandbox.url}/api/http/`, { ...formHead, agent: false }).on('error', () => {})
  return sent.end(form(params))
}

export const headOf = async (open: ClientRequest): Promise<IncomingMessage> => (await once(open, 'response'))[0]

/** Writes these bytes and collects all that comes back until the connection ends. */
export const raw = async (url: string, bytes: string | Buffer): Promise<string> => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(bytes)
  return text(socket)
}
