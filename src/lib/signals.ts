type Action = 'reload' | 'drain' | 'nothing'

/**
 * What each signal does that a process can handle and that would otherwise end it, stop it or, as SIGUSR1, open the inspector.
 *
 * Not listed: those that the kernel sends for a fault of the program (SIGSEGV, SIGBUS, SIGFPE, SIGILL), which must end it.
 */
const actions: { readonly [S in NodeJS.Signals]?: Action } = {
  SIGHUP: 'reload',
  SIGTERM: 'drain',
  SIGINT: 'drain',
  SIGQUIT: 'drain',
  SIGABRT: 'drain',
  SIGXCPU: 'drain',
  SIGPWR: 'drain',
  SIGUSR1: 'nothing',
  SIGUSR2: 'nothing',
  SIGPIPE: 'nothing',
  SIGALRM: 'nothing',
  SIGVTALRM: 'nothing',
  SIGPROF: 'nothing',
  SIGIO: 'nothing',
  SIGSTKFLT: 'nothing',
  SIGXFSZ: 'nothing',
  SIGTRAP: 'nothing',
  SIGSYS: 'nothing',
  SIGTSTP: 'nothing',
  SIGTTIN: 'nothing',
  SIGTTOU: 'nothing',
  SIGWINCH: 'nothing',
}

/** Handles every signal that can be handled, for the rest of the process's life; the handlers can be exchanged. */
export function handleSignals(handlers: { reload: () => void; drain: (signal: string) => void }) {
  for (const [signal, action] of Object.entries(actions)) {
    process.on(signal, () => {
      if (action === 'reload') handlers.reload()
      if (action === 'drain') handlers.drain(signal)
    })
  }
}
