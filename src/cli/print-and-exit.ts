/**
 * Prints the output of a command and ends the process with the code, or with 1 at least if the output cannot be written.
 *
 * A reader that has read enough is no failure. The process ends at once: a name server or a disk may still keep it waiting.
 */
export function printAndExit(output: string, code: number): Promise<never> {
  return new Promise(() => process.stdout.write(output, error => process.exit(error ? codeOfFailure(error, code) : code)))
}

/** The code after a failure of standard output, which it reports. */
export function codeOfFailure({ code: reason }: NodeJS.ErrnoException, code: number): number {
  if (reason === 'EPIPE') return code
  process.stderr.write(`The output cannot be written (${reason})\n`)
  return Math.max(code, 1)
}
