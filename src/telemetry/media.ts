import { Gauge, type Registry } from 'prom-client'
import type { Events } from '../events.ts'
import { createCounter } from './series.ts'

/** What is stored of callers' files, over all processes, and how much may be. */
export type MediaReport = { files: number; bytes: number; maxBytes: number }

const results = ['stored', 'refused', 'too-large', 'full', 'failed', 'aborted'] as const
const reasons = ['expired', 'orphan', 'lost'] as const

/** Registers what is known of callers' files. */
export function createMediaCounts(registry: Registry, report: () => MediaReport) {
  const uploads = createCounter(registry, 'gateway_media_uploads_total', 'Forms with files, by how they ended', 'result')
  const bytes = createCounter(registry, 'gateway_media_uploaded_bytes_total', 'Bytes of files that this process has stored')
  const deleted = createCounter(registry, 'gateway_media_deleted_total', 'Files that the sweeper has deleted, by reason', 'reason')
  const failures = createCounter(registry, 'gateway_media_sweep_failures_total', 'Sweeps of stored files that failed')
  for (const result of results) uploads(result)
  for (const reason of reasons) deleted(reason)

  const gauge = (name: string, help: string, value: (report: MediaReport) => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value(report()))
      },
    })
  gauge('gateway_media_files', 'Files that are stored, of all processes', ({ files }) => files)
  gauge('gateway_media_bytes', 'Bytes of all stored files', ({ bytes }) => bytes)
  gauge('gateway_media_max_bytes', 'MEDIA_MAX_MB in bytes', ({ maxBytes }) => maxBytes)

  return {
    uploadEnded({ result, bytes: stored }: Events['uploadEnded']) {
      uploads(result).value++
      bytes().value += stored
    },
    mediaSwept({ reason, count }: Events['mediaSwept']) {
      deleted(reason).value += count
    },
    mediaSweepFailed() {
      failures().value++
    },
  }
}
