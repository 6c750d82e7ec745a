import { Type } from '@sinclair/typebox'
import { transportNames } from '../../afilnet/transports.ts'
import { choice, count, type Field, type Group, milliseconds, text } from './fields.ts'
import { oauthAndSoap } from './oauth-and-soap.ts'

/** A variable of the one account with one possible value. */
const only = <const T extends string>(word: T, description: string) =>
  Type.Optional(Type.Literal(word, { description, single: true, expected: word, example: word } satisfies Field))

/** The connection to Afilnet. */
export const afilnet = {
  title: 'Afilnet',
  variables: {
    AFILNET_USER: Type.String({
      pattern: '\\S',
      secret: true,
      single: true,
      expected: 'the user (e-mail) of the Afilnet account',
      description:
        'The user (e-mail) of the Afilnet account. Required without GATEWAY_CONFIG, except for json with the grant client_credentials.',
      example: '',
    } satisfies Field),
    AFILNET_PASSWORD: Type.String({
      pattern: '\\S',
      secret: true,
      single: true,
      expected: 'the password of the Afilnet account',
      description: 'The password of the Afilnet account. Required where AFILNET_USER is. It stays on the server: no caller sees it.',
      example: '',
    } satisfies Field),
    AFILNET_TRANSPORT: choice(transportNames, {
      description:
        'The way into Afilnet: post (form body), basic (Authorization header), get (query string, where proxies log the password; the gateway warns at start), json (JSON with OAuth 2.0) or soap. Default: post. docs/transports.md says how well each is known.',
      example: 'post',
    }),
    AFILNET_URL: text({
      single: true,
      expected: 'an absolute https URL without credentials, query or fragment; plain http only for a loopback host or "sandbox"',
      description:
        'Default: the documented URL of the transport; with soap the address in the WSDL. json has no default. It must be https, unless the host is a loopback address or is named "sandbox".',
      example: 'https://www.afilnet.com/api/http/',
    }),
    ...oauthAndSoap,
    AFILNET_TIMEOUT_MS: milliseconds(
      10_000,
      1,
      'The whole budget of one call in milliseconds, waiting in the queue and retries included. Then the caller gets 504, or 503 if nothing was sent.',
    ),
    AFILNET_LATE_MS: milliseconds(
      20_000,
      0,
      'How much longer the call of a send may run after its 504, in milliseconds. If Afilnet answers in that time, the send gets its real result. At most a quarter of the connections are used for that.',
    ),
    AFILNET_CONNECTIONS: count(
      256,
      1,
      65_535,
      'a number of connections',
      'Concurrent calls to Afilnet for each account that sets no other number: requests per second × seconds that Afilnet needs. As many calls again wait; further ones get 503. While one caller waits, no other holds more than half. Up to eight times as many connections may be open, because one that has carried a send rests for a quarter of a second.',
    ),
    AFILNET_MAX_RESPONSE_BYTES: count(
      8_388_608,
      1_024,
      134_217_728,
      'a number of bytes',
      'A larger answer is refused with 502. All answers in flight together are limited to eight times this.',
    ),
    READ_CACHE_MS: milliseconds(
      0,
      0,
      'How long the answer of a read may be reused, in milliseconds; never that of unread, and never one from before an answered send. Identical concurrent reads share one call in any case. Each process has its own cache.',
    ),
    AFILNET_TIMEZONE: text({
      single: true,
      expected: 'an IANA time zone such as Europe/Madrid',
      description:
        'The IANA time zone of Afilnet’s datetimes. Afilnet does not document it, so there is no default. With it, messages carry a `timestamp` in RFC 3339 beside Afilnet’s own `datetime`.',
      example: 'Europe/Madrid',
    }),
    AFILNET_PROXY: text({
      secret: true,
      expected:
        'direct, or the URL of an http or https proxy such as http://user:password@proxy.internal:3128 (escape % @ : / ? # in user and password)',
      description:
        'The egress proxy for calls to Afilnet, through CONNECT. Webhooks, the store, S3 and traces do not use it. The gateway does not read HTTPS_PROXY and warns if only that is set; the value direct says that you want no proxy.',
      example: 'http://user:password@proxy.internal:3128',
    }),
    AFILNET_ROWS: only(
      'destination-open',
      'The gateway compares each row of a list with the platform, channel and destination of the request, and answers 502 if one differs. If Afilnet writes destinations in a form of its own (npm run doctor reports that), destination-open skips the destination, except for callers that are limited to certain chats.',
    ),
    AFILNET_SENT: only(
      'ignore',
      'The manual does not say what `sent` of a message means; the gateway reads true as written by you (`direction` is out) and false as written by the other side (in). With ignore, `direction` is null, and no send is looked for in its conversation.',
    ),
  },
} satisfies Group
