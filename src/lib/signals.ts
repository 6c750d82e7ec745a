const draining: NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGXCPU', 'SIGPWR']

/**
 * What would otherwise end the process, stop it or, as SIGUSR1, open the inspector.
 *
 * Not listed: those that the kernel sends for a fault of the program (SIGSEGV, SIGBUS, SIGFPE, SIGILL), which must end it.
 */
const ignored: NodeJS.Signals[][] = [
  ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGPROF'],
  ['SIGPIPE', 'SIGIO', 'SIGSTKFLT', 'SIGXFSZ', 'SIGTRAP', 'SIGSYS'],
  ['SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH'],
]

/** Handles every signal that can be handled, for the rest of the process's life; the handlers can be exchanged. */
export function handleSignals(handlers: { reload: () => void; drain: (signal: string) => void }) {
  process.on('SIGHUP', () => handlers.reload())
  for (const signal of draining) process.on(signal, () => handlers.drain(signal))
  for (const signal of ignored.flat()) process.on(signal, () => {})
}
