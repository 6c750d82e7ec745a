import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { destinationIssue } from '../../src/access.ts'
import type { Sandbox } from '../../src/sandbox/app.ts'
import { sharedTest as test } from '../gateway.ts'

const platforms = ['webchat', 'whatsapp', 'telegram', 'operator'] as const
const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 300 })
const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 128 }).filter(value => [...value].length <= 128 && !/\p{Cc}/u.test(value))
const listed = /[,;|\s]/
const chat = fc
  .record({ platform: fc.constantFrom(...platforms), platformid: id, destination: id })
  .filter(({ platform, destination }) => platform !== 'whatsapp' || !listed.test(destination))
  .filter(({ platform, destination }) => destinationIssue(platform, destination, { sending: true }) === undefined)
const url = fc.webUrl({ withQueryParameters: true, withFragments: true, size: 'medium' }).filter(({ length }) => length <= 2048)
const file = fc.record(
  { type: fc.constantFrom('image', 'video', 'audio', 'voice', 'document', 'contact'), fileUrl: url, thumbUrl: url, message: text },
  { requiredKeys: ['type', 'fileUrl'] },
)

type Chat = { platform: string; platformid: string; destination: string }
const path = (ids: Chat) => `/chats/${[ids.platform, ids.platformid, ids.destination].map(encodeURIComponent).join('/')}`
const last = ({ calls }: Sandbox) => calls.at(-1)?.params
const credentials = [
  ['user', 'demo@sandbox.invalid'],
  ['password', '<redacted>'],
]

describe('what a caller gives', () => {
  test('as a message reaches Afilnet unchanged, every part once', async ({ gateway, sandbox }) => {
    await fc.assert(
      fc.asyncProperty(chat, text, async (ids, message) => {
        await gateway.post(`${path(ids)}/messages`, { message })

        expect(last(sandbox)).toEqual([['class', 'chat'], ['method', 'sendmessage'], ...credentials, ...entries(ids), ['message', message]])
      }),
    )
  })

  test('as a file reaches Afilnet unchanged, every part once', async ({ gateway, sandbox }) => {
    await fc.assert(
      fc.asyncProperty(chat, file, async (ids, body) => {
        await gateway.post(`${path(ids)}/files`, body)

        const { type, fileUrl: fileurl, thumbUrl: thumburl, message } = body
        const parts = entries({ type, fileurl, thumburl, message })
        expect(last(sandbox)).toEqual([['class', 'chat'], ['method', 'sendfile'], ...credentials, ...entries(ids), ...parts])
      }),
    )
  })

  test('as the ids of a read reaches Afilnet unchanged, every part once', async ({ gateway, sandbox }) => {
    await fc.assert(
      fc.asyncProperty(chat, async ids => {
        await gateway.get(`${path(ids)}/messages`)

        expect(last(sandbox)).toEqual([['class', 'chat'], ['method', 'getmessages'], ...credentials, ...entries(ids)])
      }),
    )
  })
})

const entries = (given: Record<string, string | undefined>) => Object.entries(given).filter(([, value]) => value !== undefined)
