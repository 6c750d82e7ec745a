/**
 * Prints the output of a command and ends the process with the code, or with 1 at least if the output cannot be written.
 *
 * A reader that has read enough is no failure.
 */
export function printAndExit(output: string, code: number): Promise<never> {
  return new Promise(() => print(output, error => exitAtOnce(error ? codeOfFailure(error, code) : code)))
}

/** Writes the last byte by itself: Node does not report that a full disk took only a part of a write, and a single byte has no parts. */
export function print(output: string, onWritten?: (error?: NodeJS.ErrnoException | null) => void): boolean {
  process.stdout.write(output.slice(0, -1))
  return process.stdout.write(output.slice(-1), onWritten)
}

/** The code after a failure of standard output, which it reports. */
export function codeOfFailure({ code: reason }: NodeJS.ErrnoException, code: number): number {
  if (reason === 'EPIPE') return code
  process.stderr.write(`The output cannot be written (${reason})\n`)
  return Math.max(code, 1)
}

/**
 * Ends the process at once, although a DNS lookup or a file operation hangs: neither can be cancelled, and Node would wait for it.
 *
 * To replace the process by another program ends its threads, which `process.exit` does not.
 */
export function exitAtOnce(code: number): never {
  const isHeld = process.getActiveResourcesInfo().some(name => /^(GetAddrInfoReq|FSReq)/.test(name))
  try {
    if (isHeld) process.execve?.(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {})
  } catch {
    process.kill(process.pid, 'SIGKILL') // Windows cannot do it, and the permissions of Node may forbid it
  }
  process.exit(code)
}
