import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { issuesOf } from './setup.ts'

const environment = {
  AFILNET_USER: 'u',
  AFILNET_PASSWORD: 'fake-password',
  GATEWAY_KEY_SHA256: hash('sha256', 'fake-key-of-a-test-0123456789'),
}
const eventsOf = (more: Record<string, string>) => readConfig({ ...environment, ...more }).accounts.default?.events
const pathsOf = (more: Record<string, string>) => Object.keys(issuesOf({ ...environment, ...more }))

describe('Events', () => {
  test('are off without channels', () => {
    expect(eventsOf({})).toBeUndefined()
    expect(eventsOf({ EVENTS_INTERVAL_MS: '1000' })).toBeUndefined()
  })

  test('watch the channels of the environment every five seconds, and are kept for three days', () => {
    expect(eventsOf({ EVENTS_CHANNELS: 'whatsapp/100, telegram/*' })).toEqual({
      channels: ['whatsapp/100', 'telegram/*'],
      intervalMs: 5_000,
    })
    expect(eventsOf({ EVENTS_CHANNELS: '*', EVENTS_INTERVAL_MS: '1000' })).toEqual({ channels: ['*'], intervalMs: 1_000 })
    expect(readConfig(environment).eventsKeepMs).toBe(72 * 3_600_000)
  })

  test.for(['whatsapp', 'whatsapp/100/*', 'whatsapp/100,', 'whatsapp/*0', 'foo/1', 'WhatsApp/1', '/1'])('refuse %j', channels => {
    expect(pathsOf({ EVENTS_CHANNELS: channels })).toEqual(['EVENTS_CHANNELS'])
  })

  test.for(['whatsapp/100', 'webchat/*', 'operator/1*', 'what*/100', '*/100', '*/*', '*'])('watch %j', channels => {
    expect(eventsOf({ EVENTS_CHANNELS: channels })?.channels).toEqual([channels])
  })

  test('refuse to look more often than once a second', () => {
    expect(pathsOf({ EVENTS_CHANNELS: '*', EVENTS_INTERVAL_MS: '999' })).toEqual(['EVENTS_INTERVAL_MS'])
  })
})
