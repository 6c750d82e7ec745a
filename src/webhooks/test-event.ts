import { randomUUID } from 'node:crypto'

/** An event that is in no log, to try an endpoint. */
export const testEvent = (now: number) => ({
  id: `test-${randomUUID()}`,
  type: 'test',
  at: new Date(now).toISOString(),
  platform: null,
  platformId: null,
  destination: null,
  messageId: null,
  direction: null,
})
