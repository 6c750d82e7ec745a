import { allows, type ChatLimit, namesOf, type TokenGrant } from '../access.ts'
import type { EventType, NewEvent } from '../store/event-log.ts'
import type { SendRow } from '../store/store.ts'

/** Whose events: those of an account, as far as a caller may see them. */
export type Viewer = { name: string; account: string; chats?: readonly ChatLimit[]; token?: TokenGrant }

/** What a consumer asks for; members are joined by "and". */
export type Filters = { types?: readonly EventType[] | undefined } & {
  [K in 'platform' | 'platformId' | 'destination']?: string | undefined
}

/** Consumers of one view get the same bytes: `key` names it. */
export type View = { key: string; isLimited: boolean; passes(event: NewEvent): boolean }

/** The events that a caller may see and asks for. A `gap` passes every filter of types. */
export function createView({ name, chats, token }: Viewer, filters: Filters): View {
  const { types, platform, platformId, destination } = filters
  const names = destination === undefined ? undefined : namesOf(platform, destination)
  const asked = [platform, platformId] as const

  function passes(event: NewEvent): boolean {
    if (types && event.type !== 'gap' && !types.includes(event.type)) return false
    const found = [event.platform, event.platformId, event.destination]
    // A gap of a channel, or of the whole log, concerns every conversation in it.
    const isWide = event.type === 'gap'
    if (!asked.every((value, i) => value === undefined || found[i] === value || (isWide && found[i] === null))) return false
    if (names && !names.includes(event.destination ?? '') && !(isWide && event.destination === null)) return false
    if (event.type === 'send.updated' && !isOwn(event)) return false
    const known = isWide ? found.filter(value => value !== null) : found
    return known.length === 0 || allows(chats, ...known)
  }

  /** A key sees all sends of its name; a token those of its actor in its chat, which `chats` has checked. */
  function isOwn({ sender, send }: NewEvent) {
    if (sender?.caller !== name) return false
    return !token || (JSON.parse(send ?? '{}') as Partial<SendRow>).actor === token.actor // as the store wrote it
  }

  return { key: JSON.stringify([name, token?.actor, chats, filters]), isLimited: chats !== undefined, passes }
}
