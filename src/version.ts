import { readFileSync } from 'node:fs'

/** Of this release. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

/** The `User-Agent` of requests to other servers: some firewalls refuse requests without one. */
export const userAgent = `afilnet-gateway/${version}`
