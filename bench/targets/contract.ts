import { createHash, timingSafeEqual } from 'node:crypto'
import { failures, faults } from '../../src/afilnet/faults.ts'
import { catalogue } from '../../src/problem/catalogue.ts'

// What a target in Node has to do, in the few lines that it takes without a gateway's care; both of them share it.

const { BENCH_PORT, BENCH_UPSTREAM = '', BENCH_USER = '', BENCH_PASSWORD = '', BENCH_KEY_SHA256 = '' } = process.env
export const port = Number(BENCH_PORT)
export const upstream = new URL(BENCH_UPSTREAM)
const keyDigest = Buffer.from(BENCH_KEY_SHA256, 'hex')

type Params = Record<string, string | string[] | undefined>

/** An answer that is not a success. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor({ status, code }: { status: number; code: string }) {
    super(code)
    this.status = status
    this.code = code
  }
}

export const invalid = new Refusal({ status: 400, code: 'invalid-request' })

/** Lets the one key in. */
export function requireKey(authorization: string | undefined) {
  const key = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1] ?? ''
  const digest = createHash('sha256').update(key).digest()
  if (!timingSafeEqual(digest, keyDigest)) throw new Refusal({ status: 401, code: 'unauthenticated' })
}

const platforms = ['webchat', 'whatsapp', 'telegram', 'operator']
const id = /^\P{Cc}{1,128}$/u

/** The conversation of a path, in Afilnet's words. */
export function readChat({ platform, platformId, destination }: Params) {
  if (typeof platform !== 'string' || !platforms.includes(platform)) throw invalid
  if (typeof platformId !== 'string' || !id.test(platformId)) throw invalid
  if (typeof destination !== 'string' || !id.test(destination)) throw invalid
  if (platform === 'whatsapp' && /[,;|\s]/.test(destination)) throw invalid
  return { platform, platformid: platformId, destination }
}

/** The text of a message's body. */
export function readText(body: unknown) {
  const { message, ...more } = (body ?? {}) as Record<string, unknown> // looked at below
  if (typeof message !== 'string' || message === '' || Object.keys(more).some(name => name !== 'reference')) throw invalid
  return message
}

/** The form of a call, with the credentials in it. */
export const formOf = (method: string, params: Record<string, string>) =>
  new URLSearchParams({ class: 'chat', method, user: BENCH_USER, password: BENCH_PASSWORD, ...params }).toString()

type Envelope = { status?: string; error?: string; result?: { list?: Record<string, unknown>[] } }

/** What is in an envelope; an error in it is thrown as the HTTP status that it should have had. */
export function open({ status, error = '', result }: Envelope) {
  if (status === 'SUCCESS') return result
  const { code } = Object.hasOwn(faults, error) ? faults[error as keyof typeof faults] : failures.unknownError
  throw new Refusal({ status: catalogue[code].status, code })
}

const text = (value: unknown) => (value === null || value === undefined ? null : String(value))

/** The messages of an envelope, in the gateway's words. */
export const messagesIn = (envelope: Envelope) => ({
  items: (open(envelope)?.list ?? []).map(row => {
    const sent = row.sent === true || row.sent === 1 || row.sent === '1'
    return {
      platform: text(row.platform),
      platformId: text(row.platformid),
      destination: text(row.destination),
      messageId: text(row.messageid),
      message: text(row.message),
      sent,
      direction: sent ? 'out' : 'in',
      status: text(row.status),
      datetime: text(row.datetime),
    }
  }),
})

/** A send that Afilnet took. */
export const sendOf = ({ platform, platformid, destination }: ReturnType<typeof readChat>) => ({
  kind: 'message',
  platform,
  platformId: platformid,
  destination,
  state: 'accepted',
})
