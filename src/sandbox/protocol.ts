import type { Account } from './account.ts'
import { magicCodes, magicWords } from './magic.ts'
import { address, operations, type Params } from './operations.ts'
import type { ReceivedRequest } from './request.ts'
import { errorBody, type Shape, successBody } from './response-format.ts'
import type { ScriptedResponse } from './scripted-responses.ts'
import type { State } from './state.ts'

/** What a call leads to: the regular answer, worked out before `take` changes the world. */
export type Plan = {
  status: number
  body: string
  shape: Shape
  take(): void
  /** How a magic destination answers; empty for one that is an error code. */
  magic?: ScriptedResponse
}

/** Who may call, and whose shape an error has that belongs to no account. */
type Accounts = Pick<State, 'password' | 'main' | 'account' | 'oauth'>

const credentials = ['class', 'method', 'user', 'password']
const kinds = ['image', 'video', 'audio', 'voice', 'document', 'contact']

const member = <T>(table: Record<string, T>, name: string | undefined) =>
  name !== undefined && Object.hasOwn(table, name) ? table[name] : undefined

const isUrl = (text: string) => /^https?:\/\/[^\s/]\S*$/i.test(text) && URL.canParse(text)

/** The user and password of `Authorization: Basic`, or neither. */
const basicCredentials = (authorization: string): Params => {
  const token = /^Basic +(\S+)$/i.exec(authorization)?.[1] ?? ''
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(token, 'base64').toString()) ?? []
  return { user, password }
}

/** What a careful client would not have sent, in words; Afilnet itself would let most of it pass. */
export function errorIn({ params, way, error }: ReceivedRequest): string | undefined {
  if (error) return error
  const names = params.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `Parameter ${twice} is there more than once`
  const stray = (way === 'basic' || way === 'json') && names.find(name => name === 'user' || name === 'password')
  if (stray) return `Parameter ${stray} does not belong at /api/${way}/, where the Authorization header carries it`

  const given: Params = Object.fromEntries(params)
  const operation = given.class === 'chat' && given.method ? member(operations.chat ?? {}, given.method) : undefined
  if (!operation) return undefined
  const documented = [...credentials, ...operation.needs, ...(operation.may ?? [])]
  const unknown = names.find(name => !documented.includes(name))
  return unknown === undefined ? undefined : `Parameter ${unknown} is not one that ${given.method} documents`
}

/** The first error that applies, all that is missing before anything that is wrong. */
function refusal(given: Params, account: Account | undefined): string | undefined {
  const methods = member(operations, given.class)
  const operation = methods && member(methods, given.method)
  if (!given.class) return 'MISSING_CLASS'
  if (!given.method) return 'MISSING_METHOD'
  if (!given.user) return 'MISSING_USER'
  if (!given.password) return 'MISSING_PASSWORD'
  if (operation?.needs.some(name => !given[name])) return 'MISSING_COMPULSORY_PARAM'
  if (!account) return 'INCORRECT_USER_PASSWORD'
  if (!methods) return 'INCORRECT_CLASS'
  if (!operation) return 'INCORRECT_METHOD'

  const { platform, platformid, destination } = address(given)
  const magic = operation.magicIn && given[operation.magicIn]
  if (magic !== undefined && magicCodes.has(magic)) return magic
  if (magic !== undefined && !magicWords.has(magic)) {
    if (!account.world.hasChannel(platform, platformid)) return 'CHANNEL_NOT_FOUND'
    if (operation.opened && !account.world.hasChat({ platform, platformid, destination })) return 'CHAT_NOT_FOUND'
  }
  if (given.method !== 'sendfile') return undefined
  if (!kinds.includes(given.type ?? '')) return 'INCORRECT_FILETYPE'
  if (!isUrl(given.fileurl ?? '')) return 'INCORRECT_FILEURL'
  return given.thumburl && !isUrl(given.thumburl) ? 'INCORRECT_THUMBURL' : undefined
}

/** Decides what a call gets and does, and does nothing yet. */
export function decide({ params, way, authorization }: ReceivedRequest, accounts: Accounts): Plan {
  const present: Params = Object.fromEntries(params.filter(([, value]) => value !== ''))
  const user = way === 'json' ? accounts.oauth.userOfToken(authorization) : undefined
  if (way === 'json' && user === undefined)
    return { status: 401, body: '{"error":"invalid_token"}', shape: accounts.main.shape, take: () => {} }
  const ofToken: Params = user === undefined ? {} : { user, password: accounts.password }
  const given: Params = { ...present, ...(way === 'basic' ? basicCredentials(authorization) : ofToken) }
  const operation = member(member(operations, given.class) ?? {}, given.method)
  const account = given.password === accounts.password ? accounts.account(given.user ?? '') : undefined
  const { world, shape } = account ?? accounts.main
  const error = refusal(given, account)
  const word = operation?.magicIn && given[operation.magicIn]
  const isMagicCode = account && error !== undefined && error === word
  const magic = isMagicCode ? {} : magicWords.get(word ?? '')

  if (error || !operation) {
    const unauthorized = way === 'basic' && /USER|PASSWORD/.test(error ?? '')
    const plan = { status: unauthorized ? 401 : 200, body: errorBody(error ?? '', shape), shape, take: () => {} }
    return magic && (isMagicCode || !/^MISSING|USER_PASSWORD/.test(error ?? '')) ? { ...plan, magic } : plan
  }
  return {
    status: 200,
    body: successBody(operation.result(world, given, shape), shape),
    shape,
    take: () => operation.take?.(world, given),
    ...(magic && { magic }),
  }
}
