/** A quota for a window of time, and what is left of it. */
type Quota = { name: string; quota: number; windowS: number; remaining: number; resetS: number }

export type LimitHeaders = Record<'ratelimit-policy' | 'ratelimit', string>

/** The headers of a limit, as in draft-ietf-httpapi-ratelimit-headers-10. */
export function limitHeaders({ name, quota, windowS, remaining, resetS }: Quota): LimitHeaders {
  return { 'ratelimit-policy': `"${name}";q=${quota};w=${windowS}`, ratelimit: `"${name}";r=${remaining};t=${resetS}` }
}
