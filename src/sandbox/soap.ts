import { operations } from './operations.ts'
import type { Shape } from './response-format.ts'
import { escapeXml, readXml, type XmlElement } from './xml.ts'

const namespace = 'urn:afilnet-sandbox'
const soapNamespace = 'http://schemas.xmlsoap.org/soap/envelope/'

export const xmlType = 'text/xml; charset=utf-8'

const methods = Object.entries(operations.chat ?? {}).map(([method, { needs, may = [] }]) => ({
  method,
  parts: ['user', 'password', ...needs, ...may],
}))

/** A WSDL 1.1 document in the style of PHP: RPC, one parameter for each of the manual's. */
export function wsdl(address: string): string {
  const messages = methods.map(({ method, parts }) => {
    const list = parts.map(part => `<part name="${part}" type="xsd:string"/>`).join('')
    return `<message name="${method}Request">${list}</message>\n  <message name="${method}Response"><part name="return" type="xsd:anyType"/></message>`
  })
  const port = methods.map(
    ({ method }) =>
      `<operation name="${method}"><input message="tns:${method}Request"/><output message="tns:${method}Response"/></operation>`,
  )
  const body = `<soap:body use="literal" namespace="${namespace}"/>`
  const binding = methods.map(
    ({ method }) =>
      `<operation name="${method}"><soap:operation soapAction="${namespace}#${method}"/><input>${body}</input><output>${body}</output></operation>`,
  )
  return `<?xml version="1.0" encoding="UTF-8"?>
<definitions name="Afilnet" targetNamespace="${namespace}" xmlns:tns="${namespace}" xmlns:xsd="http://www.w3.org/2001/XMLSchema"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns="http://schemas.xmlsoap.org/wsdl/">
  ${messages.join('\n  ')}
  <portType name="ChatPort">
    ${port.join('\n    ')}
  </portType>
  <binding name="ChatBinding" type="tns:ChatPort">
    <soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    ${binding.join('\n    ')}
  </binding>
  <service name="Chat"><port name="ChatPort" binding="tns:ChatBinding"><soap:address location="${escapeXml(address)}"/></port></service>
</definitions>
`
}

/** The parameters of a SOAP 1.1 request, with class and method as the other transports have them. */
export function readSoap(bytes: Buffer, contentType: string, action: string): { params: [name: string, value: string][]; error?: string } {
  const refuse = (error: string) => ({ params: [], error })
  if (!/^text\/xml\b/i.test(contentType)) return refuse('SOAP 1.1 has the type text/xml')
  let envelope: XmlElement
  try {
    envelope = readXml(bytes)
  } catch (error) {
    return refuse(`The SOAP message is not well-formed: ${(error as Error).message}`) // thrown by readXml, in our words
  }
  const [body, ...more] = envelope.children
  const [call, ...others] = body?.children ?? []
  if (envelope.name !== 'Envelope' || envelope.namespace !== soapNamespace || body?.name !== 'Body' || more.length > 0)
    return refuse('The message is not an Envelope of SOAP 1.1 with one Body')
  if (!call || others.length > 0 || call.namespace !== namespace) return refuse(`The Body has not one element of ${namespace}`)
  if (action !== `"${namespace}#${call.name}"`) return refuse('SOAPAction is not the one of the operation')
  const nested = call.children.find(({ children }) => children.length > 0)
  if (nested) return refuse(`Parameter ${nested.name} is not a text`)
  const params = call.children.map(({ name, text }): [string, string] => [name, text])
  return { params: [['class', 'chat'], ['method', call.name], ...params] }
}

type Json = null | string | number | boolean | Json[] | { [name: string]: Json }

/** An answer in the form that the shape asks for: a structure, PHP's map, or the JSON of the other transports as a text. */
export function soapBody(json: string, method: string, { soap, soapErrors }: Shape): { status: number; body: string } {
  const envelope: { status: string; error?: string; [name: string]: Json } = JSON.parse(json) // made by the sandbox itself
  if (soapErrors === 'fault' && envelope.error !== undefined) {
    const fault = `<SOAP-ENV:Fault><faultcode>SOAP-ENV:Server</faultcode><faultstring>${escapeXml(envelope.error)}</faultstring></SOAP-ENV:Fault>`
    return { status: 500, body: inEnvelope(fault) }
  }
  const result = soap === 'json' ? `<return>${escapeXml(json)}</return>` : (soap === 'map' ? asMap : asElement)('return', envelope)
  return { status: 200, body: inEnvelope(`<ns1:${method}Response>${result}</ns1:${method}Response>`) }
}

const inEnvelope = (content: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<SOAP-ENV:Envelope xmlns:SOAP-ENV="${soapNamespace}" xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:ns1="${namespace}" xmlns:ns2="http://xml.apache.org/xml-soap"><SOAP-ENV:Body>${content}</SOAP-ENV:Body></SOAP-ENV:Envelope>\n`

function asElement(name: string, value: Json): string {
  if (value === null) return `<${name} xsi:nil="true"/>`
  if (typeof value !== 'object') return `<${name}>${escapeXml(String(value))}</${name}>`
  const entries = Array.isArray(value) ? value.map(item => ['item', item] as const) : Object.entries(value)
  // A number is no name of an element.
  return `<${name}>${entries.map(([key, item]) => asElement(/^\d/.test(key) ? 'item' : key, item)).join('')}</${name}>`
}

/** A value as PHP's encoder writes it. */
function asMap(name: string, value: Json): string {
  if (value === null) return `<${name} xsi:nil="true"/>`
  if (typeof value !== 'object') {
    const type = typeof value === 'number' ? 'int' : typeof value
    return `<${name} xsi:type="xsd:${type}">${escapeXml(String(value))}</${name}>`
  }
  if (Array.isArray(value)) {
    const type = `SOAP-ENC:arrayType="ns2:Map[${value.length}]" xsi:type="SOAP-ENC:Array"`
    return `<${name} ${type}>${value.map(item => asMap('item', item)).join('')}</${name}>`
  }
  const items = Object.entries(value).map(([key, item]) => `<item>${asMap('key', key)}${asMap('value', item)}</item>`)
  return `<${name} xsi:type="ns2:Map">${items.join('')}</${name}>`
}
