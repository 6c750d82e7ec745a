import type { Sandbox } from '../../src/sandbox/app.ts'
import { brokenInvariants, type Row } from './invariants.ts'
import { brokenQueueInvariants } from './queue-invariants.ts'
import type { QueuedScenario } from './queue-scenarios.ts'
import type { Scenario } from './scenarios.ts'
import type { Setup } from './setup.ts'

type Comparison = {
  setup: Setup
  scenarios: readonly Scenario[]
  queued: readonly QueuedScenario[]
  sandbox: Sandbox
  rows: readonly Row[]
  onState: (state: string) => void
}

/** Compares the ledger, the answers and what the sandbox took, send by send; gives each invariant that did not hold. */
export function brokenSends({ setup, scenarios, queued, sandbox, rows, onState }: Comparison): string[] {
  const { gateways, storeOutages, clockJumps, ledgerGaps, strays, stalls, victim } = setup
  const ledgers = Map.groupBy(rows, ({ destination }) => destination)
  const taken = Map.groupBy(sandbox.sent, ({ destination }) => destination)
  const calls = Map.groupBy(sandbox.calls, ({ params }) => params.find(([name]) => name === 'destination')?.[1])
  const outagesOf = (gateway: number) => gateways[gateway]?.outages ?? storeOutages
  for (const { state } of rows) onState(state)

  const evidenceOf = (destination: string) => ({
    rows: ledgers.get(destination) ?? [],
    taken: taken.get(destination)?.length ?? 0,
    calls: calls.get(destination) ?? [],
    clockJumps,
    ledgerGaps,
  })
  const show = (invariants: string[], evidence: ReturnType<typeof evidenceOf>, scenario: Scenario | QueuedScenario) => {
    if (invariants.length === 0) return []
    const { rows, taken } = evidence
    const calls = evidence.calls.map(({ at, answer, closedByPeer }) => ({ at, answer: answer?.status, closedByPeer }))
    const details = JSON.stringify({
      taken,
      rows,
      calls,
      scenario,
      outages: victim.outages.slice(-3),
      storeOutages: storeOutages.slice(-3),
    })
    return invariants.map(invariant => `${invariant}: ${details}`)
  }
  return [
    ...scenarios.flatMap(scenario => {
      const evidence = evidenceOf(scenario.destination)
      return show(brokenInvariants(scenario, { ...evidence, outagesOf, strays, stalls }), evidence, scenario)
    }),
    ...queued.flatMap(scenario => {
      const evidence = evidenceOf(scenario.destination)
      const outages = [0, 1, 2].flatMap(outagesOf)
      return show(brokenQueueInvariants(scenario, { ...evidence, outages }), evidence, scenario)
    }),
  ]
}
