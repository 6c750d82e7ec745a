import { readFile } from 'node:fs/promises'
import { type Config, ConfigError, digestOf } from './config.ts'

/** What a reload did: names only, which are no secrets. */
export type Changes = Record<'accounts' | 'callers', { added: string[]; removed: string[]; changed: string[] }>

type FollowOptions = {
  config: Config
  /** Reads the configuration anew; throws a `ConfigError` if it is not valid. */
  read: () => Config
  applied: (config: Config, changes: Changes) => void
  refused: (error: ConfigError) => void
  pollMs?: number
}

/** Takes over a changed configuration, when told to and whenever a file of it has other content; the old one stays if the new one is not valid. */
export function followConfig({ config, read, applied, refused, pollMs = 2_000 }: FollowOptions) {
  let current = config
  let { files } = config
  let looking = false

  function reload() {
    try {
      const next = read()
      const changes = { accounts: changesOf(current.accounts, next.accounts), callers: changesOf(current.callers, next.callers) }
      current = next
      files = next.files
      applied(next, changes)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      files = { ...current.files, ...error.files } // what was refused is looked at again only once it has changed
      refused(error)
    }
  }

  /** The content counts and not the inode: Kubernetes swaps a link. Read in the background, since a mount can hang. */
  async function look() {
    if (looking) return
    looking = true
    const before = files
    for (const [path, digest] of Object.entries(before)) {
      const content = await readFile(path).catch(() => undefined)
      if (files !== before) break
      if (digestOf(content) !== digest) {
        reload()
        break
      }
    }
    looking = false
  }

  const timer = setInterval(look, pollMs).unref()
  return { reload, stop: () => clearInterval(timer) }
}

function changesOf(before: Record<string, unknown>, after: Record<string, unknown>) {
  const same = (name: string) => JSON.stringify(before[name]) === JSON.stringify(after[name])
  const names = (of: object, without: object) => Object.keys(of).filter(name => !Object.hasOwn(without, name))
  return {
    added: names(after, before),
    removed: names(before, after),
    changed: Object.keys(after).filter(name => Object.hasOwn(before, name) && !same(name)),
  }
}
