import type { FailedDelivery } from '../store/deliveries.ts'

/** What is to be saved with the state. */
export type Unsaved = { failed: FailedDelivery[]; cleared: number[]; clearedAfter?: number; handled: number }

/** Takes it all for one save; `restore` puts it back, before what has come since, if that failed. */
export function takeUnsaved(unsaved: Unsaved): { taken: Unsaved; restore: () => void } {
  const taken = { ...unsaved }
  Object.assign(unsaved, { failed: [], cleared: [] })
  delete unsaved.clearedAfter
  function restore() {
    const { failed, cleared, clearedAfter } = taken
    unsaved.failed.unshift(...failed)
    unsaved.cleared.unshift(...cleared)
    if (clearedAfter !== undefined) unsaved.clearedAfter ??= clearedAfter
  }
  return { taken, restore }
}
