import { allows } from '../access.ts'
import type { Channel } from './ports.ts'

/** `*` watches every channel; otherwise a pattern is a platform and a platformId, each a literal, a literal prefix and `*`, or `*`. */
export type ChannelPattern = string

/** The channels that the patterns name: those of the account that fit, and literal ones, listed or not. */
export function expand(patterns: readonly ChannelPattern[], listed: readonly Channel[]): Channel[] {
  const wanted = patterns.map(pattern => (pattern === '*' ? '*/*' : pattern))
  const channels = new Map<string, Channel>()
  const add = (channel: Channel) => channels.set(JSON.stringify([channel.platform, channel.platformId]), channel)
  for (const pattern of wanted) {
    const [platform = '', platformId = ''] = pattern.split('/', 2)
    if (!pattern.includes('*')) add({ platform, platformId })
  }
  for (const { platform: written, platformId } of listed) {
    const platform = written.trim().toLowerCase()
    if (allows(wanted, platform, platformId.trim())) add({ platform, platformId: platformId.trim() })
  }
  return [...channels.values()]
}
