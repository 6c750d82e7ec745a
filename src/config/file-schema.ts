import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { chatPattern, scopes } from '../access.ts'
import { grants, jsonStyles, transportNames } from '../afilnet/transports.ts'
import { eventTypes } from '../store/event-log.ts'
import { channelPattern, expectedChannel } from './variables/events.ts'

const strict = { additionalProperties: false } as const
const $comment = Type.Optional(Type.String({ description: 'For the people who read the file', expected: 'a string' }))
const words = <const T extends string>(values: readonly T[], description: string) =>
  Type.Unsafe<T>(
    Type.Union(
      values.map(value => Type.Literal(value)),
      { description, expected: `one of ${values.join(', ')}` },
    ),
  )
const integer = (minimum: number, maximum: number, what: string, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum, description, expected: `${what} (${minimum} to ${maximum})` }))
const limit = (description: string) => integer(1, 1_000_000_000, 'a whole number', description)
const named = <T extends TSchema>(pattern: string, row: T, description: string) =>
  Type.Record(Type.String({ pattern }), row, { ...strict, minProperties: 1, description, expected: 'an object with at least one property' })

/** A secret of an account, which is never in the file itself. */
const reference = (what: string) =>
  Type.Union(
    [
      Type.Object({ file: Type.String({ minLength: 1, description: `A file that holds nothing but the ${what}` }) }, strict),
      Type.Object({ env: Type.String({ minLength: 1, description: 'The environment variable that holds it' }) }, strict),
    ],
    {
      description: `Where the ${what} is, never the ${what} itself`,
      expected: `{ "file": … } or { "env": … }; never write the ${what} itself here`,
      secret: true,
    },
  )
const word = (description: string, expected = 'a string') => Type.Optional(Type.String({ pattern: '\\S', description, expected }))

const chats = (description: string, { minItems }: { minItems: number }) =>
  Type.Array(
    Type.String({
      pattern: chatPattern,
      description: 'platform/platformId/destination, each a literal, a literal prefix and *, or *',
      expected: 'three segments such as whatsapp/100/34*, each a literal, a literal prefix and *, or *',
    }),
    { minItems, description, expected: 'a list of chat patterns' },
  )

export type AccountRow = Static<typeof AccountRow>
export const AccountRow = Type.Object(
  {
    $comment,
    user: word(
      'The user (e-mail) of the Afilnet account; required, except for json with client_credentials',
      'the user of the Afilnet account',
    ),
    password: Type.Optional(reference('password')),
    transport: Type.Optional(words(transportNames, 'The way into Afilnet')),
    url: Type.Optional(
      Type.String({
        description: 'Default: the documented URL of the transport; with soap the address in the WSDL; json has none',
        expected: 'a URL',
      }),
    ),
    tokenUrl: word('json: where OAuth 2.0 tokens come from', 'a URL'),
    clientId: word('json: the OAuth 2.0 client id'),
    clientSecret: Type.Optional(reference('client secret')),
    scope: word('json: the OAuth 2.0 scopes to ask for'),
    grant: Type.Optional(words(grants, 'json: the OAuth 2.0 grant; default: client_credentials')),
    jsonStyle: Type.Optional(words(jsonStyles, 'json: where class and method stand; default: body')),
    wsdl: word('soap: the URL or the file of the WSDL', 'a URL or the path of a file'),
    connections: integer(1, 65_535, 'a number of connections', 'Concurrent calls to Afilnet; default: AFILNET_CONNECTIONS'),
    rows: Type.Optional(
      Type.Literal('destination-open', {
        description: 'destination-open: do not compare the destination of rows with the one asked for, for callers without chats',
        expected: 'destination-open',
      }),
    ),
    sent: Type.Optional(Type.Literal('ignore', { description: 'Like AFILNET_SENT: `direction` of messages is null', expected: 'ignore' })),
    events: Type.Optional(
      Type.Object(
        {
          channels: Type.Array(Type.String({ pattern: channelPattern, description: 'A channel to watch', expected: expectedChannel }), {
            minItems: 1,
            description: 'The channels to watch',
            expected: 'a list of channels; without events, leave events out',
          }),
          intervalMs: integer(1_000, 3_600_000, 'a number of milliseconds', 'How often to look at each of them; default: 5000'),
        },
        {
          ...strict,
          description: 'Which channels the gateway watches for events: channels (whatsapp/100, telegram/* or *) and intervalMs (5000)',
          expected: 'an object such as { "channels": ["whatsapp/100"] }',
        },
      ),
    ),
    timezone: Type.Optional(
      Type.String({ description: "The IANA time zone of Afilnet's datetimes", expected: 'an IANA time zone such as Europe/Madrid' }),
    ),
  },
  { ...strict, description: 'One account at Afilnet', expected: 'an object' },
)

/** A caller as the configuration has it: everything but its name. */
export type CallerRow = Static<typeof CallerRow>
export const CallerRow = Type.Object(
  {
    $comment,
    keySha256: Type.Array(
      Type.String({
        pattern: '^[0-9a-f]{64}$',
        secret: true,
        description: 'SHA-256 of an API key',
        expected: 'a SHA-256 in lower-case hex',
      }),
      {
        minItems: 1,
        maxItems: 2,
        description: 'The SHA-256 digest of the key, which `npm run key` makes; two of them during a rotation',
        expected: 'a list of one or two digests',
      },
    ),
    account: Type.String({ description: 'The name of the Afilnet account that the caller uses', expected: 'the name of an account' }),
    scopes: Type.Array(words(scopes, 'What the key may do'), { description: 'What the key may do', expected: 'a list of scopes' }),
    chats: Type.Optional(chats('The chats that the caller may use; without it: all', { minItems: 0 })),
    expires: Type.Optional(
      Type.String({
        pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$',
        description: 'When its keys stop working, in RFC 3339',
        expected: 'a time in RFC 3339 such as 2027-01-31T00:00:00Z',
      }),
    ),
    rateLimit: Type.Optional(
      Type.Object(
        {
          requestsPerMinute: limit('Requests in a minute'),
          sendsPerDay: limit('Sends in a day (UTC); refused ones do not count'),
          streams: limit('Streams and long polls at a time'),
        },
        {
          ...strict,
          description:
            'Limits: requestsPerMinute, sendsPerDay (UTC; refused sends do not count), and streams (streams of events and long polls at a time)',
          expected: 'an object',
        },
      ),
    ),
    disabled: Type.Optional(Type.Boolean({ description: 'Its keys do not work now', expected: 'true or false' })),
  },
  { ...strict, description: 'One caller of the gateway', expected: 'an object' },
)

export type WebhookRow = Static<typeof WebhookRow>
export const WebhookRow = Type.Object(
  {
    $comment,
    url: Type.String({ description: 'Where events are posted to: https, or http on a loopback host', expected: 'a URL' }),
    secret: Type.Union([reference('signing secret'), Type.Array(reference('signing secret'), { minItems: 2, maxItems: 2 })], {
      description: 'Where the signing secret is (whsec_ and base64), never the secret itself; two during a rotation, and both sign',
      expected: '{ "file": … } or { "env": … }, or a list of two of them; never write the secret itself here',
      secret: true,
    }),
    account: Type.String({ description: 'The account whose events it gets', expected: 'the name of an account' }),
    types: Type.Optional(
      Type.Array(words(eventTypes, 'A type of event'), {
        minItems: 1,
        description: 'The types of event that it gets, and every gap; without it: all',
        expected: 'a list of event types',
      }),
    ),
    chats: Type.Optional(chats('The chats whose events it gets; without it: all', { minItems: 1 })),
  },
  { ...strict, description: 'One endpoint that gets the events of an account', expected: 'an object' },
)

/** Names become labels of metrics and words in logs. */
export const callerName = '^[a-z0-9][a-z0-9-]{0,62}$'
export const accountName = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'

/** The file that `GATEWAY_CONFIG` names. */
export const GatewayFile = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'Where editors find this schema', expected: 'a string' })),
    $comment,
    accounts: named(accountName, AccountRow, 'Accounts at Afilnet by name'),
    callers: named(callerName, CallerRow, 'Callers of the gateway by name: a-z, 0-9 and -'),
    webhooks: Type.Optional(
      Type.Record(Type.String({ pattern: callerName }), WebhookRow, {
        ...strict,
        description: 'Endpoints that get events, by name: a-z, 0-9 and -',
        expected: 'an object',
      }),
    ),
  },
  { ...strict, title: 'Configuration of the Afilnet gateway', expected: 'a JSON object' },
)

/** The schema of the file, for editors. */
export const schemaText = () =>
  `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...GatewayFile }, (key, value) => (key === 'expected' || key === 'secret' ? undefined : value), 2)}\n`
