/** Waits for the work for at most `ms`, then rejects with the error; the work goes on and may still have its effect. */
export async function withTimeout<T>(ms: number, work: Promise<T>, error: () => Error): Promise<T> {
  const expired = Promise.withResolvers<never>()
  const timer = setTimeout(() => expired.reject(error()), ms)
  try {
    return await Promise.race([work, expired.promise])
  } finally {
    clearTimeout(timer)
  }
}
