import { type Config, usualAdminPort } from '../../config/config.ts'
import type { Check } from './report.ts'

const named = { section: 'store', check: 'running gateway' }
const answerMs = 1_000

/** Asks the gateway that runs on this machine, if there is one, whether its ledger is still the one that it worked with. */
export async function checkGateway({ adminHost, adminPort = usualAdminPort }: Pick<Config, 'adminHost' | 'adminPort'>): Promise<Check> {
  const host = adminHost.includes(':') ? `[${adminHost}]` : adminHost
  const metrics = adminPort === 0 ? undefined : await metricsOf(`http://${host}:${adminPort}/metrics`)
  const changed = /^gateway_ledger_changed (\d)$/m.exec(metrics ?? '')?.[1]
  if (changed === undefined) return { ...named, verdict: 'skipped', detail: 'not checked: no gateway answers on the admin port' }
  if (changed === '0') return { ...named, verdict: 'ok', detail: 'it uses the ledger that it started with' }
  const detail = 'its ledger was replaced or went back, so sends with an Idempotency-Key get 503 ledger-changed'
  return { ...named, verdict: 'broken', detail, todo: 'Put the right ledger back. If there is none, run npm run -s store -- accept' }
}

async function metricsOf(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(answerMs) })
    return await response.text()
  } catch {
    return undefined
  }
}
