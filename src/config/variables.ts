import { type Static, Type } from '@sinclair/typebox'
import { afilnet } from './variables/afilnet.ts'
import { callers, several } from './variables/callers.ts'
import { events } from './variables/events.ts'
import type { Group } from './variables/fields.ts'
import { ledger } from './variables/ledger.ts'
import { media } from './variables/media.ts'
import { server, shutdown } from './variables/server.ts'
import { traces } from './variables/traces.ts'
import { webhooks } from './variables/webhooks.ts'

/** Every variable that the gateway reads, in the order of the documentation. */
export const groups: readonly Group[] = [afilnet, callers, several, server, traces, ledger, media, events, webhooks, shutdown]

/** The schema of the environment: the one source of defaults, limits and descriptions. */
export const Variables = Type.Object({
  ...several.variables,
  ...afilnet.variables,
  ...callers.variables,
  ...server.variables,
  ...traces.variables,
  ...ledger.variables,
  ...media.variables,
  ...events.variables,
  ...webhooks.variables,
  ...shutdown.variables,
})

export type VariableName = keyof typeof Variables.properties
export type Values = Static<typeof Variables>
export type Environment = Record<string, string | undefined>

/** Records that something in the configuration is wrong, and where. */
export type Report = (path: string, message: string) => void
