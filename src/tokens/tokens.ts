import { createHmac, createSecretKey, hkdfSync, type KeyObject, randomUUID } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import type { Scope, TokenGrant } from '../access.ts'

/** What a token says. */
export type TokenClaims = TokenGrant & { account: string; scopes: readonly Scope[] }

/** A token that is valid: what it says, and the digest of the key that issued it. Otherwise why it is not. */
export type OpenedToken = { claims: TokenClaims; keySha256: string } | { issue: string }

export type Tokens = {
  /** Makes a token; `keySha256` is the digest of the key that issues it. Throws `store-unavailable`. */
  issue(claims: Omit<TokenClaims, 'id'>, keySha256: string): Promise<string>
  /** Reads a token that one of the configured keys issued. Throws `store-unavailable`. */
  open(token: string, digests: ReadonlyMap<string, unknown>): Promise<OpenedToken>
}

/** What a token carries, beside `exp` and `jti`. `key` names the key that issued it, in a way that reveals nothing of the key. */
type Payload = {
  key: string
  account: string
  chat: [platform: string, platformId: string, destination: string]
  scope: string
  actor: string
}

const alg = 'HS256'
/** No other kind of JWT is taken for one of these. */
const typ = 'afilnet-gateway-token+jwt'

/** An hour, and as much by which the clocks of two gateways may differ: a token that lasts longer was issued while a clock was ahead. */
const longestMs = 7_200_000

const invalid: OpenedToken = { issue: 'The token is not valid.' }

/** Tokens that every process on one ledger can verify: `readSecret` gives its secret. Nothing is stored for a token. */
export function createTokens({ readSecret, now = Date.now }: { readSecret: () => Promise<KeyObject>; now?: () => number }): Tokens {
  let derived: { secret: KeyObject; key: KeyObject; names: WeakMap<object, Map<string, string>> } | undefined

  async function current() {
    const secret = await readSecret()
    if (derived?.secret !== secret) derived = { secret, key: derive(secret), names: new WeakMap() }
    return derived
  }

  return {
    async issue({ account, chat, scopes, actor, expiresAt }, keySha256) {
      const { key } = await current()
      const place: Payload['chat'] = [chat.platform, chat.platformId, chat.destination]
      const payload: Payload = { key: nameOf(keySha256, key), account, chat: place, scope: scopes.join(' '), actor }
      return new SignJWT(payload)
        .setProtectedHeader({ alg, typ })
        .setJti(randomUUID())
        .setExpirationTime(Math.floor(expiresAt / 1_000))
        .sign(key)
    },

    async open(token, digests) {
      if (!isCanonical(token)) return invalid
      const { key, names } = await current()
      try {
        const options = { algorithms: [alg], typ, currentDate: new Date(now()), requiredClaims: ['exp', 'jti'] }
        const { payload } = await jwtVerify<Payload>(token, key, options)
        const known = names.get(digests) ?? new Map(Array.from(digests.keys(), digest => [nameOf(digest, key), digest]))
        names.set(digests, known)
        if ((payload.exp ?? 0) * 1_000 > now() + longestMs) return { issue: 'The token was issued while a clock was wrong.' }
        const keySha256 = known.get(payload.key)
        return keySha256 === undefined
          ? { issue: 'The key that issued this token is no longer valid.' }
          : { claims: claimsOf(payload), keySha256 }
      } catch (error) {
        if (error instanceof errors.JWTExpired) return { issue: 'The token has expired.' }
        if (error instanceof errors.JOSEError) return invalid
        throw error
      }
    },
  }
}

/** Fingerprints are keyed by the secret itself, tokens by a key of their own. */
const derive = (secret: KeyObject) => createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', 'afilnet-gateway tokens 1', 32)))

/** A digest alone would let a token holder try weak keys. */
const nameOf = (keySha256: string, key: KeyObject) => createHmac('sha256', key).update(keySha256).digest('base64url').slice(0, 22)

/** The last character of a signature has bits that no decoder looks at. */
function isCanonical(token: string) {
  const signature = token.slice(token.lastIndexOf('.') + 1)
  return Buffer.from(signature, 'base64url').toString('base64url') === signature
}

/** The signature has proved that the gateway wrote it. */
function claimsOf({ jti = '', exp = 0, account, chat, scope, actor }: Payload & { jti?: string; exp?: number }): TokenClaims {
  const [platform, platformId, destination] = chat
  const scopes = scope.split(' ') as Scope[]
  return { id: jti, expiresAt: exp * 1_000, account, chat: { platform, platformId, destination }, scopes, actor }
}
