import { Type } from '@sinclair/typebox'
import { type Field, type Group, integer, text } from './fields.ts'

/** Several accounts and callers in a file. */
export const several = {
  title: 'Several accounts and callers',
  variables: {
    GATEWAY_CONFIG: text({
      expected: 'the path of a JSON file',
      description:
        'A JSON file with accounts and callers, instead of AFILNET_USER, AFILNET_PASSWORD, AFILNET_TRANSPORT, AFILNET_URL, AFILNET_TOKEN_URL, AFILNET_CLIENT_ID, AFILNET_CLIENT_SECRET, AFILNET_SCOPE, AFILNET_GRANT, AFILNET_JSON_STYLE, AFILNET_WSDL, AFILNET_TIMEZONE, AFILNET_ROWS, AFILNET_SENT, EVENTS_CHANNELS, EVENTS_INTERVAL_MS, GATEWAY_KEY_SHA256, RATE_LIMIT_PER_MINUTE, WEBHOOK_URL and WEBHOOK_SECRET, which must then not be set. Start from openapi/gateway-config.example.json. The gateway reloads this file and every secret file that it names within seconds after a change, or at once on SIGHUP. An invalid file changes nothing.',
      example: '/etc/afilnet-gateway/config.json',
    }),
  },
} satisfies Group

/** The one caller. */
export const callers = {
  title: 'Callers',
  variables: {
    GATEWAY_KEY_SHA256: Type.String({
      secret: true,
      single: true,
      pattern: '^[0-9a-f]{64}(,[0-9a-f]{64})?$',
      expected: 'the SHA-256 of an API key in lower-case hex, or two of them separated by a comma',
      description:
        'SHA-256 of the caller’s API key in lower-case hex. Required without GATEWAY_CONFIG. `npm run key` makes both. During a rotation: two digests separated by a comma.',
      example: '',
    } satisfies Field),
    RATE_LIMIT_PER_MINUTE: integer({
      minimum: 1,
      maximum: 1_000_000_000,
      single: true,
      expected: 'a number of requests (1 to 1000000000)',
      description: 'Requests per minute of the one caller. Further requests get 429. No limit by default.',
      example: '600',
    }),
  },
} satisfies Group
