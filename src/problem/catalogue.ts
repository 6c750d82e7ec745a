// Longer than 200 lines, because it is one table: every error that a caller can meet.
/** One row of the catalogue. */
export type ProblemRow = {
  status: number
  title: string
  /** What happened; the `detail` of an occurrence that says nothing more exact. */
  meaning: string
  /** Who must act, and what to do. */
  action: string
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
    meaning: 'The path, the query, the headers or the body do not have the documented form.',
    action:
      'You must act: `detail` and, where one part is wrong, `errors` say what was found and what is expected. The same request fails again.',
  },
  'idempotency-key-required': {
    status: 400,
    title: 'An Idempotency-Key is required',
    meaning: 'This gateway accepts a send only with the header `Idempotency-Key`.',
    action: 'You must act: add a key that is unique to the message.',
  },
  unauthenticated: {
    status: 401,
    title: 'A valid API key or token is required',
    meaning: 'The API key is wrong.',
    action:
      'You must act: send `Authorization: Bearer <key>` with a key that the operator configured and that is neither expired nor disabled, or with a token that has not expired and whose key is still valid.',
  },
  'insufficient-scope': {
    status: 403,
    title: 'The key lacks the scope for this',
    meaning: 'The key is valid but lacks the scope of this operation.',
    action: 'The operator must act: ask for the scope. `GET /me` lists those of your key.',
  },
  'chat-not-allowed': {
    status: 403,
    title: 'The key may not touch this chat',
    meaning: 'The key is limited to certain chats, and this is none of them.',
    action: 'The operator must act: ask for the chat. `GET /me` lists those of your key.',
  },
  'not-found': {
    status: 404,
    title: 'There is nothing at this path',
    meaning: 'The gateway has no such path.',
    action: 'You must act: compare the path with the API document.',
  },
  'send-not-found': {
    status: 404,
    title: 'There is no such send',
    meaning: 'No send of this caller has this id, or it is older than the gateway keeps sends.',
    action: 'You must act: use the id of a send that you made with a key of the same caller.',
  },
  'webhook-not-found': {
    status: 404,
    title: 'There is no such webhook',
    meaning: 'The account of this key has no webhook of this name, or the key is limited to certain chats.',
    action: 'You must act: use a name that `GET /webhooks` lists. Keys with `chats` see no webhooks.',
  },
  'channel-not-found': {
    status: 404,
    title: 'Afilnet knows no such channel',
    meaning: 'The account has no channel with this platform and platform id.',
    action: 'You must act: take both from `GET /channels`.',
  },
  'chat-not-found': {
    status: 404,
    title: 'Afilnet knows no such chat',
    meaning: 'The channel has no conversation with this destination.',
    action: 'You must act: take the destination from the conversations of the channel.',
  },
  'media-not-found': {
    status: 404,
    title: 'There is no such file',
    meaning: 'No stored file of this caller has this id or URL, or it has expired.',
    action: 'You must act: store the file again with `POST /media`. In a send, this error is 422, and nothing was sent.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'The path does not take this method',
    meaning: 'The path does not accept this method.',
    action: 'You must act: use one of the methods in the header `Allow`.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    meaning: 'The headers or the body did not arrive in time, so the gateway did not process the request.',
    action: 'Repeat the request.',
  },
  'idempotency-key-in-use': {
    status: 409,
    title: 'A send with this key is still running',
    meaning: 'The first request with this `Idempotency-Key` still runs.',
    action: 'Repeat the same request after `Retry-After`: it asks for the outcome and never sends again.',
    retryAfterS: 1,
  },
  'send-already-started': {
    status: 409,
    title: 'The send cannot be canceled any more',
    meaning: 'Only a send that is still queued can be canceled; this one has started or ended.',
    action: 'You must act: read the send again. Its state says where it stands.',
  },
  'send-already-settled': {
    status: 409,
    title: 'It is known how this send ended',
    meaning: 'Only a send whose state is `unknown` can be settled by hand; this one is not, or not any more.',
    action: 'You must act: read the send again. Its state says how it ended, or that it still runs.',
  },
  'cursor-gone': {
    status: 410,
    title: 'The message of this position is gone',
    meaning: 'The conversation has no message with the `messageId` in `before` or `after`.',
    action:
      'You must act: begin anew with `limit` alone, and go on with `nextCursor` and `previousCursor`, which stay good when their message has gone.',
  },
  'send-expired': {
    status: 410,
    title: 'The send waited for too long',
    meaning: 'The send could not leave before its `expiresAt`. Nothing was sent, and nothing will be.',
    action: 'You must act: send again under a new key if the message is still of use.',
  },
  'payload-too-large': {
    status: 413,
    title: 'The request is too large',
    meaning:
      "The body has more than 65,536 bytes, a file in a form more than `MEDIA_MAX_BYTES`, or the whole call more than 4,000 characters with Afilnet's transport `get`.",
    action: 'You must act: send less.',
  },
  'uri-too-long': {
    status: 414,
    title: 'The request target is too long',
    meaning: 'Path and query together have more than 8,192 bytes.',
    action: 'You must act: shorten them.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The operation does not take this type of body',
    meaning: 'The body is not declared as plain JSON, or as a form where the operation takes files.',
    action:
      'You must act: send JSON with `Content-Type: application/json`, or a form with `Content-Type: multipart/form-data`, and neither with `Content-Encoding`. `detail` says what the operation takes.',
  },
  'range-not-satisfiable': {
    status: 416,
    title: 'The file does not have this range',
    meaning: 'The header `Range` asks for bytes that the file does not have.',
    action: 'You must act: `Content-Range` says how many bytes the file has.',
  },
  'expectation-failed': {
    status: 417,
    title: 'The expectation cannot be met',
    meaning: 'The header `Expect` asks for something other than `100-continue`.',
    action: 'You must act: leave the header out.',
  },
  'file-type-rejected': {
    status: 422,
    title: 'Afilnet refused the type of the file',
    meaning: 'Afilnet rejected the `type` of the file.',
    action: 'You must act: use a type that fits the file and the platform. Nothing was sent.',
  },
  'file-url-rejected': {
    status: 422,
    title: 'Afilnet refused the URL of the file',
    meaning: 'Afilnet could not use `fileUrl`.',
    action: 'You must act: use a public URL, since Afilnet fetches the file itself. Nothing was sent.',
  },
  'thumb-url-rejected': {
    status: 422,
    title: 'Afilnet refused the URL of the thumbnail',
    meaning: 'Afilnet could not use `thumbUrl`.',
    action: 'You must act: use a public URL, since Afilnet fetches the file itself. Nothing was sent.',
  },
  'file-type-mismatch': {
    status: 422,
    title: 'The file is something else',
    meaning: 'The content of the file does not fit its `type`.',
    action: 'You must act: use the type that fits, or `document`, which fits everything. Nothing was sent.',
  },
  'destination-unroutable': {
    status: 422,
    title: 'Afilnet has no route to this destination',
    meaning: 'Afilnet has no route to this destination. Nothing was sent.',
    action: 'You must act: check the destination.',
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The key belongs to another request',
    meaning: 'This `Idempotency-Key` was used with another route, recipient or body. Nothing was sent now.',
    action: 'You must act: use a new key for a new message, and the same request for a repetition.',
  },
  'send-settled-rejected': {
    status: 422,
    title: 'A person recorded that this send was rejected',
    meaning: 'It was not known how this send had ended, until a person recorded that Afilnet rejected it.',
    action: 'You must act: change the request and use a new key.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many requests',
    meaning: 'This key is over its requests per minute, or this address made too many mistakes. The gateway processed nothing.',
    action: 'Repeat the request after `Retry-After`.',
    retryAfterS: 1,
  },
  'send-quota-exceeded': {
    status: 429,
    title: 'No sends left for today',
    meaning: 'This key is over its sends or attempts of the day (UTC). Nothing was sent.',
    action: 'Repeat the request after `Retry-After`, when the next day starts, or ask the operator for a higher limit.',
    retryAfterS: 60,
  },
  'headers-too-large': {
    status: 431,
    title: 'The request headers are too large',
    meaning: 'The request line and the headers together have more than 16 KiB, or there are more than 1,000 headers.',
    action: 'You must act: send fewer or shorter headers, or a shorter target.',
  },
  'internal-error': {
    status: 500,
    title: 'The gateway made a mistake',
    meaning: 'The gateway itself failed.',
    action: 'The operator must act: the log has the error under `requestId`.',
  },
  'queue-not-enabled': {
    status: 501,
    title: 'This gateway does not queue sends',
    meaning: 'The gateway has no `QUEUE_KEY`, so it keeps no send for later. Nothing was sent.',
    action: 'The operator must act: set QUEUE_KEY. Until then, send without `Prefer: respond-async`, `sendAt` and `expiresAt`.',
    operatorFirst: true,
  },
  'upstream-credentials-rejected': {
    status: 502,
    title: 'Afilnet rejected the credentials of the gateway',
    meaning: 'Afilnet rejected the user or password of the gateway; your API key is fine. Nothing was applied.',
    action: 'The operator must act: correct the Afilnet credentials.',
    operatorFirst: true,
  },
  'upstream-contract-mismatch': {
    status: 502,
    title: 'Afilnet did not understand the gateway',
    meaning: 'Afilnet misses or rejects a parameter that its manual documents otherwise. Nothing was applied.',
    action: 'The operator must act: `npm run doctor` shows what differs from the manual.',
    operatorFirst: true,
  },
  'upstream-unknown-error': {
    status: 502,
    title: 'Afilnet answered with an error that its manual does not name',
    meaning: 'Afilnet answered with an error code that its manual does not list.',
    action: '`outcome` says whether a send may have been applied. The operator finds the code in the log.',
  },
  'upstream-redirect': {
    status: 502,
    title: 'Afilnet answered with a redirect',
    meaning: 'Afilnet answered with a redirect, which the gateway never follows.',
    action: 'The operator must act: check AFILNET_URL.',
  },
  'upstream-error': {
    status: 502,
    title: 'Afilnet answered with an HTTP error',
    meaning: 'Afilnet answered with an HTTP error instead of a result.',
    action: '`outcome` says whether a send may have been applied. If it lasts, the operator must act.',
  },
  'upstream-invalid-response': {
    status: 502,
    title: 'The answer of Afilnet cannot be read',
    meaning: "The gateway cannot use Afilnet's answer: it is not the documented JSON, is cut short, or is about another chat.",
    action: '`outcome` says whether a send may have been applied. If it lasts, the operator must act.',
  },
  'upstream-response-too-large': {
    status: 502,
    title: 'The answer of Afilnet is too large',
    meaning: "Afilnet's answer is larger than AFILNET_MAX_RESPONSE_BYTES.",
    action: 'The operator must act: raise the limit.',
  },
  'upstream-connection-lost': {
    status: 502,
    title: 'The connection to Afilnet broke',
    meaning: 'The connection to Afilnet broke after the request had left.',
    action: '`outcome` says whether a send may have been applied. With an `Idempotency-Key` you can repeat it safely.',
  },
  'send-interrupted': {
    status: 502,
    title: 'The gateway stopped during the send',
    meaning: 'The gateway stopped between sending the message and recording the result. It never sends it again.',
    action: 'You must decide: look in the conversation whether the message arrived before you send it under a new key.',
  },
  'upstream-rate-limited': {
    status: 503,
    title: 'Afilnet asks for fewer calls',
    meaning: 'Afilnet asks for fewer calls (429). Nothing was applied.',
    action: 'Repeat the request after `Retry-After`.',
    retryAfterS: 1,
  },
  'upstream-out-of-credit': {
    status: 503,
    title: 'The Afilnet account is out of credit',
    meaning: 'The Afilnet account has no credit left. Nothing was sent.',
    action: 'The operator must act: buy credit.',
    operatorFirst: true,
  },
  'upstream-unreachable': {
    status: 503,
    title: 'Afilnet cannot be reached',
    meaning: 'The gateway could not connect to Afilnet. Nothing was applied.',
    action: 'Repeat the request after `Retry-After`. If it lasts, the operator must act: check name, network and TLS.',
    retryAfterS: 1,
  },
  'upstream-circuit-open': {
    status: 503,
    title: 'Afilnet is failing; calls are paused',
    meaning: 'Too many recent calls to Afilnet failed, so the gateway did not make this one.',
    action: 'Repeat the request after `Retry-After`.',
    retryAfterS: 2,
  },
  'store-unavailable': {
    status: 503,
    title: 'A store of the gateway is unavailable',
    meaning: 'The gateway cannot use its ledger of sends or its store of files. It made no send.',
    action:
      'Repeat the request after `Retry-After`. If it lasts, the operator must act: the store is full or away. Reads of conversations go on.',
    retryAfterS: 5,
  },
  'queue-key-lost': {
    status: 503,
    title: 'The queued message cannot be decrypted',
    meaning: 'The gateway lost the key that had encrypted this queued send. Nothing was sent.',
    action: 'You must act: send the message again; the same Idempotency-Key is free.',
  },
  'ledger-changed': {
    status: 503,
    title: 'The ledger of sends was replaced',
    meaning: 'The ledger of sends was replaced or set back, so it may have forgotten idempotency keys. Nothing was sent.',
    action: 'The operator must act: `npm run store -- accept`, or a restart. Sends without a key and reads go on.',
    operatorFirst: true,
  },
  'events-not-enabled': {
    status: 501,
    title: 'Events are off for this account',
    meaning: 'The gateway watches no channel of this account, so it has no events.',
    action: 'The operator must act: name channels in `EVENTS_CHANNELS`, or in `events` of the account.',
    operatorFirst: true,
  },
  'too-many-streams': {
    status: 429,
    title: 'Too many streams and long polls are open',
    meaning: 'This key or token has as many streams and long polls as it may.',
    action: 'Close one, then repeat the request.',
    retryAfterS: 5,
  },
  overloaded: {
    status: 503,
    title: 'The gateway is at its limit',
    meaning: 'Too many calls run or wait. Nothing was applied.',
    action: 'Repeat the request after `Retry-After`.',
    retryAfterS: 1,
  },
  draining: {
    status: 503,
    title: 'The gateway is shutting down',
    meaning: 'This process is shutting down and takes no new requests. Nothing was applied.',
    action: 'Repeat the request after `Retry-After`; another process answers.',
    retryAfterS: 1,
  },
  'media-not-public': {
    status: 503,
    title: 'Stored files have no public URL',
    meaning: 'The gateway does not know under which URL Afilnet can fetch files.',
    action: 'The operator must act: set MEDIA_URL or PUBLIC_URL. Files that are on the web already can be sent by their URL.',
    operatorFirst: true,
  },
  'media-full': {
    status: 507,
    title: 'There is no room for files',
    meaning: 'All stored files together would have more bytes than MEDIA_MAX_MB. The file was not stored and nothing was sent.',
    action: 'Repeat the request after `Retry-After`. If it lasts, the operator must act: raise MEDIA_MAX_MB or lower MEDIA_KEEP_HOURS.',
    retryAfterS: 60,
  },
  'upstream-timeout': {
    status: 504,
    title: 'Afilnet did not answer in time',
    meaning: 'Afilnet gave no complete answer in time.',
    action: '`outcome` says whether a send may have been applied. With an `Idempotency-Key` you can repeat it safely.',
  },
} as const satisfies Record<string, ProblemRow>

export type ProblemCode = keyof typeof catalogue
