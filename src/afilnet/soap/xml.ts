const encodings = new Set(['utf-8', 'utf8', 'us-ascii', 'iso-8859-1', 'iso-8859-15', 'windows-1252'])

/** The text of an XML document; `undefined` if its encoding is none that the gateway reads, or if its bytes do not fit it. */
export function decodeXml(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 128)).toString('latin1')
  const declared = /^(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\sencoding\s*=\s*["']([\w-]{1,40})["']/.exec(start)?.[1]?.toLowerCase() ?? 'utf-8'
  if (!encodings.has(declared)) return undefined
  try {
    return new TextDecoder(declared, { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** Whether a document has a DTD, which is forbidden in SOAP, and the only place that can define entities. */
export function hasDoctype(xml: string): boolean {
  for (let at = xml.indexOf('<'); at >= 0; at = xml.indexOf('<', at)) {
    // Only comments and instructions may stand before it.
    const end = xml.startsWith('<!--', at) ? '-->' : xml.startsWith('<?', at) ? '?>' : undefined
    if (end === undefined) return xml.slice(at, at + 9).toUpperCase() === '<!DOCTYPE'
    at = xml.indexOf(end, at)
    if (at < 0) return false
  }
  return false
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what XML 1.0 cannot carry
const unwritable = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/

/** Whether XML 1.0 has a way to write a text. */
export const isWritable = (text: string) => !unwritable.test(text)

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;', '\r': '&#13;' }

/** A text as the content of an element. A bare carriage return would arrive as a line feed. */
export const escapeXml = (text: string) => text.replace(/[&<>"'\r]/g, character => escapes[character] ?? character)
