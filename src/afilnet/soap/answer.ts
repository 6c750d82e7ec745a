import { codeOf, refusal } from '../envelope.ts'
import { type Fault, failures, faults, UpstreamError } from '../faults.ts'
import type { Operation } from '../operations.ts'
import { unreadable } from '../unreadable.ts'
import { isMembers, type Members, readXml, type Value } from './values.ts'
import { decodeXml } from './xml.ts'

/**
 * The envelope in a SOAP message, as JSON; throws an `UpstreamError` for a SOAP fault and for what is no SOAP message.
 *
 * `statusFault` is what the HTTP status says: SOAP 1.1 sends faults with 500.
 */
export function readAnswer(operation: Operation, bytes: Buffer, statusFault: Fault | undefined): Buffer {
  const body = bodyOf(bytes)
  const fault = body?.Fault
  if (fault !== undefined) throw refusalOf(operation, fault)
  if (statusFault) throw new UpstreamError(statusFault, operation)
  const result = body && resultOf(body)
  if (result === undefined) throw unreadable({ operation, bytes }, 'not SOAP')
  return Buffer.from(typeof result === 'string' ? result : JSON.stringify(result))
}

function bodyOf(bytes: Buffer): Members | undefined {
  const xml = decodeXml(bytes)
  if (xml === undefined) return undefined
  try {
    const { Envelope: envelope } = readXml(xml)
    return isMembers(envelope) && isMembers(envelope.Body) ? envelope.Body : undefined
  } catch {
    return undefined // never the parser's message: it quotes the answer
  }
}

/** The result of a call: a structure, or a text with JSON in it. */
function resultOf(body: Members): Value | undefined {
  const [response, ...more] = Object.values(body)
  if (more.length > 0 || !isMembers(response)) return typeof response === 'string' ? response : undefined
  if (Object.hasOwn(response, 'status')) return response
  const results = Object.entries(response)
  const named = results.length === 1 ? results : results.filter(([name]) => /^return$|result$/i.test(name))
  return named.length === 1 ? named[0]?.[1] : undefined
}

/** The error for a SOAP fault: by a code of Afilnet's wherever it stands, or by whose fault it is. */
function refusalOf(operation: Operation, fault: Value): UpstreamError {
  const texts = textsOf(fault).map(text => text.trim())
  const words = texts.map(text => (text.split(/[:.]/).at(-1) ?? '').trim())
  const upper = words.map(word => word.toUpperCase())
  const code = upper.find(word => Object.hasOwn(faults, word))
  if (code !== undefined) return refusal(operation, code)
  const isOurs = upper.some(word => word === 'CLIENT' || word === 'SENDER')
  const upstreamCode = words.find(word => word.includes('_') && codeOf(word))
  return new UpstreamError(isOurs ? failures.clientError : failures.serverError, { safe: operation.safe, upstreamCode })
}

/** The texts of a fault: code, string and detail, or what SOAP 1.2 calls so. */
function textsOf(value: Value): string[] {
  if (typeof value === 'string') return [value]
  return value === null ? [] : Object.values(value).flatMap(textsOf)
}
