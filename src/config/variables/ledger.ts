import { Type } from '@sinclair/typebox'
import { expectedStoreUrl } from '../../store/url.ts'
import { count, type Field, flag, type Group, hours, text } from './fields.ts'

/** The ledger of sends. */
export const ledger = {
  title: 'The ledger of sends',
  intro: `For several gateways, STORE_URL names a Valkey or Redis server (7.0 or later) that they share. It also counts their rate limits:
  redis://user:password@host:6379/0    or valkey://, with TLS rediss:// or valkeys://; escape % @ : / ? # in user and password
  redis+sentinel://user:password@host1:26379,host2:26379/name-of-the-primary/0?sentinel_password=...
A CA of your own goes into NODE_EXTRA_CA_CERTS, which must be set in the real environment and not in .env. The server needs appendonly yes,
appendfsync always and maxmemory-policy noeviction; at start the log says what other settings can lose.`,
  variables: {
    STORE_URL: Type.String({
      default: 'sqlite:./data/gateway.sqlite',
      secret: true,
      expected: expectedStoreUrl,
      description:
        'Where each send is recorded before it leaves: sqlite:<path>, sqlite::memory: (lost at the end of the process), or the URL of a Valkey or Redis server. Put a URL with a password into a file.',
    } satisfies Field),
    SENDS_KEEP_HOURS: hours(
      168,
      87_600,
      'How long sends and their Idempotency-Keys are kept after they are settled; `unknown` ones at least 720 hours.',
    ),
    STORE_MAX_MB: count(
      1_024,
      1,
      1_048_576,
      'a number of megabytes',
      'The size of the ledger: about one kilobyte for each send, two on a server. Beyond it sends get 503 until old ones expire; reads go on.',
    ),
    QUEUE_KEY: text({
      secret: true,
      pattern: '^[A-Za-z0-9+/]{43}=(,[A-Za-z0-9+/]{43}=)?$',
      expected: '32 bytes in base64, or two such keys separated by a comma',
      description:
        'Encrypts queued sends (Prefer: respond-async, sendAt): 32 random bytes in base64 (openssl rand -base64 32). Without it such sends get 501. During a rotation: two keys separated by a comma, of which the first encrypts. Sends whose key is missing at start end as not_sent.',
      example: 'the output of: openssl rand -base64 32',
    }),
    READ_BACK: flag(
      true,
      'Look for a send that ended as `unknown` in its conversation after 2, 10, 60 and 600 seconds, and settle it if exactly one new row can be it: true or false. It needs AFILNET_TIMEZONE or events, and no AFILNET_SENT=ignore; otherwise it is off.',
    ),
    IDEMPOTENCY_REQUIRED: flag(false, 'Refuse sends without an Idempotency-Key: true or false.'),
  },
} satisfies Group
