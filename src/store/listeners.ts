type Listener = { accounts: ReadonlySet<string>; onNews: (account: string) => void }

/**
 * Listeners of the event logs of accounts; `notify` calls those of one account.
 *
 * `watch` reports what other processes append; it runs while there are listeners, and starts again when their accounts change.
 */
export function createListeners(watch: (accounts: readonly string[]) => () => void) {
  const all = new Set<Listener>()
  let stop = () => {}

  function restart() {
    stop()
    const accounts = [...new Set([...all].flatMap(({ accounts }) => [...accounts]))]
    stop = accounts.length > 0 ? watch(accounts) : () => {}
  }
  return {
    add(accounts: readonly string[], onNews: (account: string) => void) {
      const listener = { accounts: new Set(accounts), onNews }
      all.add(listener)
      restart()
      return () => {
        if (all.delete(listener)) restart()
      }
    },
    /** Ends what `watch` began; the listeners stay. */
    stop: () => stop(),
    notify(account: string) {
      for (const { accounts, onNews } of all) if (accounts.has(account)) onNews(account)
    },
  }
}
