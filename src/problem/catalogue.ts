/** One row of the catalogue. */
export type ProblemRow = {
  status: number
  title: string
  /** What it means and who must act, for `GET /problems/{code}`. */
  meaning: string
  /** Seconds, where the answer carries `Retry-After`. */
  retryAfterS?: number
  /** The same request will fail again until the operator has acted. */
  operatorFirst?: true
}

/** Every error that a caller can meet. Codes are never renamed and never used for something else. */
export const catalogue = {
  'invalid-request': {
    status: 400,
    title: 'The request is not valid',
    meaning:
      'The path, the headers or the body do not have the documented form. `errors` names the member to blame, if there is one. Mend the request; the same one fails again.',
  },
  'idempotency-key-required': {
    status: 400,
    title: 'An Idempotency-Key is required',
    meaning: 'This gateway takes sends only with an `Idempotency-Key` header. Add one that is unique to the message.',
  },
  unauthenticated: {
    status: 401,
    title: 'A valid API key is required',
    meaning:
      'No key, a wrong, an expired or a disabled one. Send `Authorization: Bearer <key>` with a key that the operator has configured.',
  },
  'insufficient-scope': {
    status: 403,
    title: 'The key lacks the scope for this',
    meaning: 'The key is valid, but was not given the scope that this operation needs. Ask the operator for it.',
  },
  'chat-not-allowed': {
    status: 403,
    title: 'The key may not touch this chat',
    meaning: 'The key is limited to certain chats and this is none of them. Ask the operator.',
  },
  'not-found': {
    status: 404,
    title: 'There is nothing at this path',
    meaning: 'The path is not one of the gateway. Compare it with the API document.',
  },
  'send-not-found': {
    status: 404,
    title: 'There is no such send',
    meaning: 'No send of this caller has that id, or it is older than sends are kept.',
  },
  'channel-not-found': {
    status: 404,
    title: 'Afilnet knows no such channel',
    meaning: 'The account has no channel with this platform and platform id. `GET /channels` lists those it has.',
  },
  'chat-not-found': {
    status: 404,
    title: 'Afilnet knows no such chat',
    meaning: 'The channel has no conversation with this destination.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'The path does not take this method',
    meaning: 'The `Allow` header lists the methods that it takes.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    meaning: 'The headers or the body came too slowly, so the request was not processed. It can be repeated.',
  },
  'idempotency-key-in-use': {
    status: 409,
    title: 'A send with this key is still running',
    meaning:
      'The first request with this `Idempotency-Key` has no answer yet. Repeat the same request after `Retry-After`: it asks for the outcome and never sends again.',
    retryAfterS: 1,
  },
  'payload-too-large': {
    status: 413,
    title: 'The request is too large',
    meaning: 'Bodies may have 64 KiB. With the `get` transport, the whole call to Afilnet may have 4,000 characters.',
  },
  'uri-too-long': { status: 414, title: 'The request target is too long', meaning: 'Path and query may have 8,192 bytes together.' },
  'unsupported-media-type': { status: 415, title: 'The body must be JSON', meaning: 'Send the body as `Content-Type: application/json`.' },
  'expectation-failed': {
    status: 417,
    title: 'The expectation cannot be met',
    meaning: 'The only `Expect` that the gateway knows is `100-continue`.',
  },
  'file-type-rejected': {
    status: 422,
    title: 'Afilnet refused the type of the file',
    meaning: 'Use one of the documented types for `type`.',
  },
  'file-url-rejected': {
    status: 422,
    title: 'Afilnet refused the URL of the file',
    meaning: 'Afilnet could not use `fileUrl`. It must be public: Afilnet fetches it, not the gateway.',
  },
  'thumb-url-rejected': {
    status: 422,
    title: 'Afilnet refused the URL of the thumbnail',
    meaning: 'Afilnet could not use `thumbUrl`. It must be public: Afilnet fetches it, not the gateway.',
  },
  'destination-unroutable': {
    status: 422,
    title: 'Afilnet has no route to this destination',
    meaning: 'Nothing was sent, and nothing can be sent to this destination. Check it.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The key belongs to another request',
    meaning: 'This `Idempotency-Key` was used with another route, recipient or body. Use a new key for a new message.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many requests',
    meaning:
      'This key is over its requests per minute, or this address has sent too many requests without a valid key. Nothing was processed; repeat it after `Retry-After`.',
    retryAfterS: 1,
  },
  'send-quota-exceeded': {
    status: 429,
    title: 'No sends left for today',
    meaning: 'This key is over its sends of the day (UTC). Nothing was sent; the next day starts after `Retry-After`.',
    retryAfterS: 60,
  },
  'headers-too-large': { status: 431, title: 'The request headers are too large', meaning: 'All headers together may have 16 KiB.' },
  'internal-error': {
    status: 500,
    title: 'The gateway made a mistake',
    meaning: 'A fault of the gateway itself. Its operator finds it in the log by `requestId`.',
  },
  'upstream-credentials-rejected': {
    status: 502,
    title: 'Afilnet rejected the credentials of the gateway',
    meaning:
      "Not the caller's key: the Afilnet user or password that the operator configured is wrong. Nothing was applied. The operator must act first.",
    operatorFirst: true,
  },
  'upstream-contract-mismatch': {
    status: 502,
    title: 'Afilnet did not understand the gateway',
    meaning: 'Afilnet misses or refuses a parameter that its manual documents otherwise. Nothing was applied. The operator must act first.',
    operatorFirst: true,
  },
  'upstream-unknown-error': {
    status: 502,
    title: 'Afilnet answered with an error that its manual does not name',
    meaning: '`upstreamCode` has the code. Whether a send was applied cannot be known from it.',
  },
  'upstream-redirect': {
    status: 502,
    title: 'Afilnet answered with a redirect',
    meaning: 'Redirects are never followed, since they would carry the credentials along. The operator should check AFILNET_URL.',
  },
  'upstream-error': {
    status: 502,
    title: 'Afilnet answered with an HTTP error',
    meaning: 'Afilnet answered 4xx or 5xx instead of a result.',
  },
  'upstream-invalid-response': {
    status: 502,
    title: 'The answer of Afilnet cannot be read',
    meaning: 'What came back is not the documented form: not JSON, cut short, or without a status.',
  },
  'upstream-response-too-large': {
    status: 502,
    title: 'The answer of Afilnet is too large',
    meaning: 'The answer is over AFILNET_MAX_RESPONSE_BYTES. The operator can raise it.',
  },
  'upstream-connection-lost': {
    status: 502,
    title: 'The connection to Afilnet broke',
    meaning: 'The request had left, and the connection broke before an answer came.',
  },
  'send-interrupted': {
    status: 502,
    title: 'The gateway stopped during the send',
    meaning:
      'The process ended between sending and recording. Whether the message was sent is not known; the gateway never sends it again.',
  },
  'upstream-rate-limited': {
    status: 503,
    title: 'Afilnet asks for fewer calls',
    meaning: 'Afilnet answered 429. Nothing was applied; repeat after `Retry-After`.',
    retryAfterS: 1,
  },
  'upstream-out-of-credit': {
    status: 503,
    title: 'The Afilnet account is out of credit',
    meaning: 'Nothing was sent. The operator must act first.',
    operatorFirst: true,
  },
  'upstream-unreachable': {
    status: 503,
    title: 'Afilnet cannot be reached',
    meaning: 'No connection came about (name, refusal, time, TLS), so nothing left the gateway. Repeat after `Retry-After`.',
    retryAfterS: 1,
  },
  'upstream-circuit-open': {
    status: 503,
    title: 'Afilnet is failing; the gateway holds back',
    meaning: 'Too many of the latest calls failed, so this one was not made. Repeat after `Retry-After`.',
    retryAfterS: 2,
  },
  'store-unavailable': {
    status: 503,
    title: 'The ledger of sends cannot be written',
    meaning: 'A send that cannot be recorded is not made. Reads go on. Repeat after `Retry-After`.',
    retryAfterS: 5,
  },
  'ledger-changed': {
    status: 503,
    title: 'The ledger of sends was replaced',
    meaning:
      'The ledger is not the one that this gateway worked with, so it may have forgotten idempotency keys. Sends with a key are refused; nothing was sent. Sends without a key and reads go on. The operator must act first: `npm run store -- accept`, or a restart.',
    operatorFirst: true,
  },
  overloaded: {
    status: 503,
    title: 'The gateway is at its limit',
    meaning: 'Too many calls are running or waiting. Nothing was applied; repeat after `Retry-After`.',
    retryAfterS: 1,
  },
  draining: {
    status: 503,
    title: 'The gateway is shutting down',
    meaning: 'This process takes no new requests. Nothing was applied; repeat after `Retry-After`, another one will answer.',
    retryAfterS: 1,
  },
  'upstream-timeout': {
    status: 504,
    title: 'Afilnet did not answer in time',
    meaning: 'The request had left, and no complete answer came within the budget.',
  },
} as const satisfies Record<string, ProblemRow>

export type ProblemCode = keyof typeof catalogue
