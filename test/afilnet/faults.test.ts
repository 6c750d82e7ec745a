import { describe, expect } from 'vitest'
import { type Reply, sharedTest as test } from '../gateway.ts'
import { calls, type Method } from './calls.ts'

type Answer = [status: number, code: string]

// Written out from the contract, not read from the code, so that the two can disagree.
const everywhere: Record<string, Answer> = {
  MISSING_USER: [502, 'upstream-contract-mismatch'],
  MISSING_PASSWORD: [502, 'upstream-contract-mismatch'],
  MISSING_CLASS: [502, 'upstream-contract-mismatch'],
  MISSING_METHOD: [502, 'upstream-contract-mismatch'],
  MISSING_COMPULSORY_PARAM: [502, 'upstream-contract-mismatch'],
  INCORRECT_CLASS: [502, 'upstream-contract-mismatch'],
  INCORRECT_METHOD: [502, 'upstream-contract-mismatch'],
  INCORRECT_USER_PASSWORD: [502, 'upstream-credentials-rejected'],
  NO_CREDITS: [503, 'upstream-out-of-credit'],
  NO_ROUTE_AVAILABLE: [422, 'destination-unroutable'],
}
const noChannel: Record<string, Answer> = { CHANNEL_NOT_FOUND: [404, 'channel-not-found'] }
const noChat: Record<string, Answer> = { ...noChannel, CHAT_NOT_FOUND: [404, 'chat-not-found'] }

const documented: Record<Method, Record<string, Answer>> = {
  getchatchannels: everywhere,
  sendmessage: { ...everywhere, ...noChannel },
  sendfile: {
    ...everywhere,
    ...noChat,
    INCORRECT_FILETYPE: [422, 'file-type-rejected'],
    INCORRECT_FILEURL: [422, 'file-url-rejected'],
    INCORRECT_THUMBURL: [422, 'thumb-url-rejected'],
  },
  getchats: { ...everywhere, ...noChat },
  getmessages: { ...everywhere, ...noChat },
  getunreadmessages: { ...everywhere, ...noChat },
}
const blamed: Record<string, string> = { INCORRECT_FILETYPE: '/type', INCORRECT_FILEURL: '/fileUrl', INCORRECT_THUMBURL: '/thumbUrl' }

const unsafe = new Set<Method>(['sendmessage', 'sendfile', 'getunreadmessages'])
const methods = Object.keys(calls) as Method[] // the literal's own keys
const rows = methods.flatMap(method => Object.entries(documented[method]).map(([code, answer]) => ({ method, code, answer })))
const pointers = ({ json }: Reply) => json.errors?.map(({ pointer }: { pointer: string }) => pointer)

describe('an error code of Afilnet', () => {
  test.for(rows)('$code from $method gets $answer', async ({ method, code, answer: [status, ours] }, { gateway, sandbox }) => {
    sandbox.answer({ method, body: JSON.stringify({ status: 'ERROR', error: code }) })

    const reply = await calls[method](gateway)

    expect(reply).toMatchObject({ status, json: { status, code: ours, outcome: 'not_applied', retry: 'no', upstreamCode: code } })
    expect(pointers(reply)).toEqual(blamed[code] && [blamed[code]])
    expect(reply.headers['retry-after']).toBeUndefined()
    expect(sandbox.calls).toHaveLength(1)
  })

  test.for(methods)('that is undocumented is shown by %s, and proves nothing about a send', async (method, { gateway, sandbox }) => {
    sandbox.answer({ method, body: '{"status":"ERROR","error":"NOT_ACCESS_TO_TEMPLATE"}' })

    const { status, json } = await calls[method](gateway)

    expect({ status, ...json }).toMatchObject({
      status: 502,
      code: 'upstream-unknown-error',
      upstreamCode: 'NOT_ACCESS_TO_TEMPLATE',
      ...(unsafe.has(method) ? { outcome: 'unknown', retry: 'no' } : { outcome: 'not_applied', retry: 'yes' }),
    })
  })

  test.for([
    ['longer than 64 characters', 'A'.repeat(65)],
    ['with markup', '<b>CODE</b>'],
    ['empty', ''],
    ['a number', 404],
    ['null', null],
    ['absent', undefined],
    ['a list', ['CHAT_NOT_FOUND']],
    ['a sentence', 'User sandbox rejected'],
    ['a word in lower case', 'fake_password'],
    ['a telephone number', '34600000000'],
    ['a word with a telephone number', 'NO_ROUTE_TO_34600000000'],
  ])('%s is not shown', async ([, error], { gateway, sandbox }) => {
    sandbox.answer({ body: JSON.stringify({ status: 'ERROR', error }) })

    const { status, json } = await calls.sendmessage(gateway)

    expect({ status, ...json }).toMatchObject({ status: 502, code: 'upstream-unknown-error', outcome: 'unknown', retry: 'no' })
    expect(json).not.toHaveProperty('upstreamCode')
  })

  test('of 64 characters is shown', async ({ gateway, sandbox }) => {
    const error = 'A1_'.repeat(21).padEnd(64, 'Z')
    sandbox.answer({ body: JSON.stringify({ status: 'ERROR', error }) })

    const { json } = await calls.sendmessage(gateway)

    expect(json.upstreamCode).toBe(error)
  })
})
