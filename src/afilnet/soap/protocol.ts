import { Exchange, type ExchangeListener } from '../exchange.ts'
import { failures, UpstreamError } from '../faults.ts'
import type { Operation } from '../operations.ts'
import type { Protocol } from '../protocol.ts'
import { TransportError } from '../transport-error.ts'
import { type Credentials, commonHeaders, type RequestWriter } from '../transports.ts'
import { readAnswer } from './answer.ts'
import { fill } from './message.ts'
import type { SoapService } from './service.ts'
import { isWritable } from './xml.ts'

/** SOAP 1.1: the documented names as the parameters that a WSDL describes, the envelope in the result. */
export function createSoapProtocol(service: SoapService, credentials: Credentials): Protocol {
  if (!isWritable(credentials.user + credentials.password))
    throw new TransportError('the user or the password has a character that XML cannot carry')
  return {
    url: service.url,
    write: createWriter(service, credentials),
    readsFaults: true,
    unwrap: (operation, bytes) => readAnswer(operation, bytes, undefined),
    attempt: (state, options, listener) => new Exchange(state, options, listenFor(options.operation, listener)),
  }
}

function createWriter({ url, operations, hasCredentials }: SoapService, { user, password }: Credentials): RequestWriter {
  const basic = { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
  const shared = {
    'Content-Type': 'text/xml; charset=utf-8',
    Accept: 'text/xml',
    ...commonHeaders,
    ...(!hasCredentials && basic),
  }
  const path = url.pathname + url.search
  return (operation, params) => {
    const described = operations.get(operation.method)
    if (!described) throw new Error(`no template for ${operation.method}`) // each operation was matched
    const present = [...operation.required, ...operation.optional].filter(name => params[name] !== undefined)
    if (!present.every(name => isWritable(params[name] ?? ''))) throw new UpstreamError(failures.notWritable, operation)
    const body = fill(described.template(present), { ...params, class: 'chat', method: operation.method, user, password })
    return { method: 'POST', path, headers: { ...shared, SOAPAction: described.action }, body }
  }
}

/** Passes the envelope on instead of the SOAP message around it. */
function listenFor(operation: Operation, listener: ExchangeListener): ExchangeListener {
  return {
    stillWanted: () => listener.stillWanted?.(),
    onAnswer(bytes, exchange) {
      let envelope: Buffer
      try {
        envelope = readAnswer(operation, bytes, exchange.statusFault)
      } catch (error) {
        return listener.onFailure(error, exchange)
      }
      listener.onAnswer(envelope, exchange)
    },
    onFailure: (error, call) => listener.onFailure(error, call),
    continueLate() {
      const late = listener.continueLate?.()
      return late && listenFor(operation, late)
    },
  }
}
