import type { Account } from './account.ts'
import { type Body, issuesIn, type Rule, rules } from './control-schema.ts'
import type { Script } from './customers.ts'
import type { AccountHandle } from './handle.ts'
import type { Shape } from './response-format.ts'
import type { ScriptedResponse } from './scripted-responses.ts'
import type { State } from './state.ts'
import type { Address, Bulk, Channel, Written } from './world.ts'

export class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

function check(body: unknown, rules: Record<string, Rule>, required: readonly string[] = []): Body {
  const issues = issuesIn(body, rules, required)
  if (issues.length > 0) throw new Refusal(400, issues.join('; '))
  return body as Body // without issues it is one
}

/** What a route works on: the sandbox, and the account that `?account=` names, by default the first. */
type Target = { state: State; account: Account; handle: AccountHandle }

type Route = [about: string, run: (target: Target, body: unknown) => unknown]

const chat = ['platform', 'platformid', 'destination']
const channel = ['platform', 'platformid']

const namesOf = (rules: Record<string, Rule>) => Object.keys(rules).join(', ')

/** Refuses a channel that the account does not have. */
function checkChannel({ account }: Target, { platform, platformid }: Body) {
  if (account.world.hasChannel(String(platform), String(platformid))) return
  const known = account.world.channels.map(channel => `${channel.platform}/${channel.platformid}`)
  throw new Refusal(400, `platform, platformid: expected one of ${known.join(', ')}`)
}

/** What the control port can do. Each cast below is of a body whose rules are those of the type. */
export const routes: Record<string, Record<string, Route>> = {
  '/': { GET: ['this list', () => listing()] },
  '/calls': {
    GET: ['the calls received, in order', ({ state }) => state.calls],
    DELETE: ['forgets the calls', ({ state }) => void state.calls.splice(0)],
  },
  '/sent': { GET: ['the messages and files that were taken', ({ handle }) => handle.sent] },
  '/answers': {
    POST: [
      `queues an answer for the next matching calls: ${namesOf(rules.answer)}`,
      ({ state }, body) => {
        const { bodyBase64, ...answer } = check(body, rules.answer)
        const bytes = bodyBase64 === undefined ? {} : { body: Buffer.from(String(bodyBase64), 'base64') }
        state.queue({ ...answer, ...bytes } as ScriptedResponse)
      },
    ],
  },
  '/shape': {
    PUT: [
      `changes how regular answers look, and what lists show: ${namesOf(rules.shape)}`,
      ({ account, handle }, body) => {
        handle.shape(check(body, rules.shape) as Partial<Shape>)
        return account.shape
      },
    ],
  },
  '/tokens': {
    GET: ['the requests for OAuth 2.0 tokens, in order', ({ state }) => state.oauth.requests],
    PUT: [
      'sets the lifetime that new tokens announce, and another one that they have: expiresInS, validForS',
      ({ state: { oauth } }, body) => {
        Object.assign(oauth, check(body, rules.tokens))
        return { expiresInS: oauth.expiresInS, validForS: oauth.validForS }
      },
    ],
    DELETE: ['makes every token that was given invalid', ({ state }) => state.oauth.revoke()],
  },
  '/latency': {
    PUT: [
      'delays every answer by { "ms": n }',
      ({ state }, body) => {
        state.latencyMs = Number(check(body, rules.latency, ['ms']).ms)
        return { ms: state.latencyMs }
      },
    ],
  },
  '/messages': {
    GET: ['every message that there is, also those that no list shows yet', ({ handle }) => handle.messages()],
    POST: [
      `a customer writes in: platform, platformid, destination, message; also ${namesOf(rules.message)}`,
      (target, body) => {
        const message = check(body, rules.message, [...chat, 'message'])
        checkChannel(target, message)
        target.handle.receive(message as Written)
      },
    ],
    DELETE: [
      'Afilnet forgets a conversation, or one message of it: platform, platformid, destination, messageid',
      ({ handle }, body) => {
        const { messageid, ...address } = check(body, rules.removal, chat)
        handle.remove(address as Address, messageid as string | undefined)
      },
    ],
  },
  '/status': {
    PUT: [
      `a message takes another status: ${namesOf(rules.status)}`,
      ({ account }, body) => {
        const { messageid, status, ...address } = check(body, rules.status, Object.keys(rules.status))
        if (!account.world.mark(address as Address, String(messageid), String(status))) throw new Refusal(404, 'No such message')
      },
    ],
  },
  '/conversations': {
    POST: [
      `fills a channel: ${namesOf(rules.conversations)}`,
      (target, body) => {
        const bulk = check(body, rules.conversations, [...channel, 'conversations'])
        checkChannel(target, bulk)
        target.handle.fill(bulk as Bulk)
      },
    ],
  },
  '/customers': {
    PUT: [
      `what customers do unasked, everybody or those of one conversation: ${namesOf(rules.customers)}`,
      ({ handle }, body) => {
        const { platform, platformid, destination, ...script } = check(body, rules.customers)
        if (destination !== undefined) check(body, rules.customers, chat)
        handle.script(script as Partial<Script>, destination === undefined ? undefined : ({ platform, platformid, destination } as Address))
      },
    ],
  },
  '/channels': {
    POST: [
      'a new channel: platform, platformid, name',
      ({ handle }, body) => handle.addChannel(check(body, rules.channel, [...channel, 'name']) as Channel),
    ],
    DELETE: [
      'the end of a channel: platform, platformid',
      ({ handle }, body) => {
        const { platform, platformid } = check(body, rules.channel, channel)
        handle.removeChannel(String(platform), String(platformid))
      },
    ],
  },
  '/accounts': {
    POST: [
      'another account, with the same password: user; name it in the query of other requests (?account=)',
      ({ state }, body) => void state.openAccount(String(check(body, rules.account, ['user']).user)),
    ],
  },
  '/reset': { POST: ['forgets everything that happened and every scripted response', ({ state }) => state.reset()] },
}

const listing = () =>
  Object.entries(routes).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, [about]]) => ({ request: `${method} ${path}`, about })),
  )
