import { readFile } from 'node:fs/promises'
import { type Config, ConfigError, digestOf } from './config.ts'

/** What a reload changed: names only, which are not secret. */
type Changes = Record<'accounts' | 'callers' | 'webhooks', { added: string[]; removed: string[]; changed: string[] }>

type WatchOptions = {
  config: Config
  /** Reads the configuration anew; throws a `ConfigError` if it is not valid. */
  read: () => Config
  applied: (config: Config, changes: Changes) => void
  refused: (error: ConfigError) => void
  pollMs?: number
}

/** Reloads the configuration on request and when the content of one of its files changes. An invalid one changes nothing. */
export function watchConfig({ config, read, applied, refused, pollMs = 2_000 }: WatchOptions) {
  let current = config
  let { files } = config
  let polling = false

  function reload() {
    try {
      const next = read()
      const changes = {
        accounts: changesOf(current.accounts, next.accounts),
        callers: changesOf(current.callers, next.callers),
        webhooks: changesOf(current.webhooks, next.webhooks),
      }
      current = next
      files = next.files
      applied(next, changes)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      files = error.files // the refused content is not read again until it changes
      refused(error)
    }
  }

  /** Compares contents, not inodes: Kubernetes swaps a link. Reads in the background, since a mount can hang. */
  async function poll() {
    if (polling) return
    polling = true
    const before = files
    for (const [path, digest] of Object.entries(before)) {
      const content = await readFile(path).catch(() => undefined)
      if (files !== before) break
      if (digestOf(content) !== digest) {
        reload()
        break
      }
    }
    polling = false
  }

  const timer = setInterval(poll, pollMs).unref()
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
