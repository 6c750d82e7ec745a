/** Waits for the work for at most `ms`, then rejects with the error; the work goes on and may still have its effect. */
export function withTimeout<T>(ms: number, work: Promise<T>, error: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    // One more turn of the event loop: if the process was held up, an answer that came in time is still unread.
    const timer = setTimeout(() => setImmediate(() => reject(error())), ms)
    work.then(
      value => {
        clearTimeout(timer)
        resolve(value)
      },
      failure => {
        clearTimeout(timer)
        reject(failure)
      },
    )
  })
}
