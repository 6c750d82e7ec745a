type Listener = { accounts: ReadonlySet<string>; onNews: (account: string) => void }

/** Those who watch the event logs of accounts; `tell` calls those who watch that account. */
export type Listeners = {
  add(accounts: readonly string[], onNews: (account: string) => void): () => void
  tell(account: string): void
}

/** `look` watches what other processes append, from the first listener to the last; it is started again when the accounts change. */
export function createListeners(look: (accounts: readonly string[]) => () => void): Listeners {
  const all = new Set<Listener>()
  let stop = () => {}

  function restart() {
    stop()
    const accounts = [...new Set([...all].flatMap(({ accounts }) => [...accounts]))]
    stop = accounts.length > 0 ? look(accounts) : () => {}
  }
  return {
    add(accounts, onNews) {
      const listener = { accounts: new Set(accounts), onNews }
      all.add(listener)
      restart()
      return () => {
        if (all.delete(listener)) restart()
      }
    },
    tell(account) {
      for (const { accounts, onNews } of all) if (accounts.has(account)) onNews(account)
    },
  }
}
