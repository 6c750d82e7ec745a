import { randomUUID } from 'node:crypto'
import { escapeXml } from './xml.ts'

/** A message with gaps: texts, and between them the names of values. */
export type Template = { texts: readonly string[]; names: readonly string[] }

/**
 * Makes a template of a message that the `soap` package builds.
 *
 * The package writes a value that looks like a CDATA section without escaping it, so that a caller could add parameters of its own. It
 * therefore sees marks instead of values, and what it keeps of its last message holds no password.
 */
export function createTemplate(names: readonly string[], build: (marks: Record<string, string>) => string): Template {
  const mark = `gap-${randomUUID()}-`
  const xml = build(Object.fromEntries(names.map((name, i) => [name, `${mark}${i}-`])))
  const parts = xml.split(new RegExp(`${mark}(\\d+)-`))
  return {
    texts: parts.filter((_, i) => i % 2 === 0),
    names: parts.filter((_, i) => i % 2 === 1).map(i => names[Number(i)] ?? ''),
  }
}

/** The message with its values. */
export function fill({ texts, names }: Template, values: Record<string, string | undefined>): string {
  let xml = texts[0] ?? ''
  for (let i = 0; i < names.length; i++) xml += escapeXml(values[names[i] ?? ''] ?? '') + (texts[i + 1] ?? '')
  return xml
}
