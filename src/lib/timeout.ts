/** Waits for the work for at most `ms`, then rejects with the error; the work goes on and may still have its effect. */
export function withTimeout<T>(ms: number, work: Promise<T>, error: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(error()), ms)
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
