import { type Group, text } from './fields.ts'

/** The one webhook. */
export const webhooks = {
  title: 'Webhooks',
  variables: {
    WEBHOOK_URL: text({
      single: true,
      expected: 'a URL with https, or with http on a loopback host',
      description:
        'Where the events of the one account (EVENTS_CHANNELS) are posted to. GATEWAY_CONFIG takes several webhooks. Needs WEBHOOK_SECRET.',
      example: 'https://crm.example.com/afilnet-events',
    }),
    WEBHOOK_SECRET: text({
      secret: true,
      single: true,
      pattern: '^whsec_[^,\\s]+(,whsec_[^,\\s]+)?$',
      expected: 'whsec_ and 24 to 64 random bytes in base64, or two of them separated by a comma',
      description:
        'Signs the events that WEBHOOK_URL gets (Standard Webhooks). Make one with `echo whsec_$(openssl rand -base64 32)`. During a rotation: two, separated by a comma; both sign.',
      example: 'whsec_ and the output of: openssl rand -base64 32',
    }),
  },
} satisfies Group
