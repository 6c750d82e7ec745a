import { readFileSync } from 'node:fs'

/** How many files and sockets the process may have open; a usual number where the system does not say. */
export function maxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return Number(soft ?? Number.POSITIVE_INFINITY)
  } catch {
    return 4_096
  }
}
