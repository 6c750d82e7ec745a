import { platforms } from '../../access.ts'
import { type Group, hours, integer, text } from './fields.ts'

export const expectedChannel = `a channel such as whatsapp/100, telegram/* or * (platforms: ${platforms.join(', ')})`

/** What `EVENTS_CHANNELS` and the `events.channels` of an account name: a channel, or several with a `*`. */
export const channelPattern = `^(\\*|(${platforms.join('|')}|[^/*,\\s]*\\*)/([^/*,]+\\*?|\\*))$`

/** The interval of an account that sets no other one. */
export const usualIntervalMs = 5_000

/** Events. */
export const events = {
  title: 'Events',
  intro:
    'GET /events tells callers of new messages and of changes, and webhooks need it. It is off until an account names channels to watch.',
  variables: {
    EVENTS_CHANNELS: text({
      single: true,
      expected: `channels such as whatsapp/100 or telegram/*, separated by commas, or * (platforms: ${platforms.join(', ')})`,
      description:
        'The channels that the gateway watches for new messages, separated by commas: whatsapp/100,telegram/*, or * for all. Each costs Afilnet one call for each interval, and one for each conversation that changed.',
      example: '*',
    }),
    EVENTS_INTERVAL_MS: integer({
      single: true,
      minimum: 1_000,
      maximum: 3_600_000,
      unitMs: 1,
      expected: 'a number of milliseconds (1000 to 3600000)',
      description: 'How often the gateway looks at each watched channel, in milliseconds. Default: 5000.',
      example: '5000',
    }),
    EVENTS_KEEP_HOURS: hours(
      72,
      8_760,
      'How long events are kept, of all accounts. A consumer that was away for longer gets a `gap`. Events count against STORE_MAX_MB: a full ledger drops the oldest first.',
    ),
  },
} satisfies Group
