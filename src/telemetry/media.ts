import type { Registry } from 'prom-client'
import type { Events } from '../events.ts'
import { createCounter, createGauge } from './series.ts'

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

  createGauge(registry, 'gateway_media_files', 'Files that are stored, of all processes', () => report().files)
  createGauge(registry, 'gateway_media_bytes', 'Bytes of all stored files', () => report().bytes)
  createGauge(registry, 'gateway_media_max_bytes', 'MEDIA_MAX_MB in bytes', () => report().maxBytes)

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
