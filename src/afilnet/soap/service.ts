import { Client, WSDL } from 'soap'
import { isLocal } from '../../lib/addresses.ts'
import { isObject } from '../../lib/is-object.ts'
import { validateHeaderValue } from '../../lib/node-http.ts'
import { type Operation, operations } from '../operations.ts'
import { TransportError } from '../transport-error.ts'
import { Documents, type DocumentsOptions } from './documents.ts'
import { createTemplate, type Template } from './message.ts'

/** How a message of an operation is written, for each set of optional parameters that can be there. */
type SoapOperation = { name: string; parts: readonly string[]; action: string; template(present: readonly string[]): Template }

/** What a WSDL says of Afilnet. */
export type SoapService = {
  url: URL
  /** By the names of Afilnet's methods. */
  operations: ReadonlyMap<string, SoapOperation>
  /** Whether user and password are parameters; if not, they travel by HTTP Basic. */
  hasCredentials: boolean
}

/** The parameters of an operation: their types by their names, structures as such. */
type Parts = { [name: string]: unknown }
type Method = { input?: { description(definitions: WSDL['definitions']): Record<string, unknown> } }
type Port = { service: string; port: string; location: string; methods: Record<string, Method> }
type ServiceOptions = DocumentsOptions & { url?: URL | undefined }
type Built = { xml: string; headers: Record<string, string> }

/** Reads a WSDL; throws a `TransportError` that says what does not match. `url` replaces the address that the WSDL gives. */
export async function openService(wsdl: URL, options: ServiceOptions): Promise<SoapService> {
  try {
    return describe(await parse(wsdl, options), options)
  } catch (error) {
    if (error instanceof TransportError) throw error
    throw new TransportError('the WSDL cannot be read: it is not a valid WSDL 1.1 document') // the message may quote it
  }
}

function describe(parsed: WSDL, options: ServiceOptions): SoapService {
  const ports = portsOf(parsed)
  const port = ports.find(({ methods }) => operations.every(operation => nameIn(methods, operation)))
  if (!port) throw new TransportError(unmatched(parsed, ports))
  const url = options.url ?? addressOf(port)
  const build = createBuilder(parsed, port)
  const matched = new Map(operations.map(operation => [operation.method, match(operation, parsed, port, build)]))
  const credentials = [...matched.values()].map(({ parts }) => ['user', 'password'].filter(name => parts.includes(name)).length)
  const hasCredentials = credentials.every(count => count === 2)
  if (!hasCredentials && credentials.some(count => count > 0))
    throw new TransportError('some operations of the WSDL have the parameters user and password, others do not')
  return { url, operations: matched, hasCredentials }
}

async function parse(wsdl: URL, options: DocumentsOptions): Promise<WSDL> {
  const documents = new Documents(wsdl, options)
  const text = await documents.load(documents.base)
  // What the library would fetch goes through the same checks and limits.
  const httpClient = {
    request(url: string, _: unknown, callback: (error: unknown, response?: unknown, body?: string) => void) {
      documents.load(new URL(url)).then(body => callback(null, { status: 200 }, body), callback)
    },
  } as unknown as NonNullable<ConstructorParameters<typeof WSDL>[2]['httpClient']> // the only method that reading a WSDL calls
  const parsed = new WSDL(text, documents.base.href, { httpClient })
  await new Promise<void>((resolve, reject) => parsed.onReady(error => (error ? reject(error) : resolve())))
  return parsed
}

function portsOf({ definitions }: WSDL): Port[] {
  return Object.entries(definitions.services ?? {}).flatMap(([service, { ports }]) =>
    Object.entries(ports ?? {}).map(([port, { location, binding }]) => ({ service, port, location, methods: binding?.methods ?? {} })),
  )
}

/** The name of the WSDL's operation for one of Afilnet's. */
const nameIn = (methods: Record<string, Method>, { method }: Operation) =>
  Object.keys(methods).find(name => [method, `chat.${method}`, `chat_${method}`].includes(name.toLowerCase()))

const shown = (name: string) => (/^[\w.-]{1,64}$/.test(name) ? name : '?')

function unmatched(wsdl: WSDL, ports: readonly Port[]): string {
  const offered = ports.flatMap(({ methods }) =>
    Object.entries(methods).map(([name, method]) => `${shown(name)}(${Object.keys(partsOf(wsdl, method)).map(shown).join(', ')})`),
  )
  const missing = operations.filter(operation => !ports.some(({ methods }) => nameIn(methods, operation))).map(({ method }) => method)
  const what = missing.length > 0 ? `no operation for ${missing.join(', ')}` : 'no port with all six operations'
  const offer = offered.length === 0 ? 'no operation' : [...new Set(offered)].slice(0, 60).join(', ')
  return `the WSDL has ${what} (the names may begin with chat. or chat_); it offers ${offer}`
}

function partsOf({ definitions }: WSDL, { input }: Method): Parts {
  const [parts] = Object.values(input?.description(definitions) ?? {})
  return withoutNamespaces(parts)
}

/** The library adds the namespace of an element to its members. */
const withoutNamespaces = (parts: unknown): Parts => {
  const { targetNSAlias, targetNamespace, ...rest } = (isObject(parts) ? parts : {}) as Parts
  return rest
}

/** The names of all that can hold a text, in lower case. */
const leavesOf = (parts: Parts, depth = 0): string[] =>
  Object.entries(parts).flatMap(([name, type]) =>
    isObject(type) && depth < 4 ? leavesOf(withoutNamespaces(type), depth + 1) : [name.toLowerCase()],
  )

function match(operation: Operation, wsdl: WSDL, { methods }: Port, build: (name: string, values: Parts) => Built): SoapOperation {
  const name = nameIn(methods, operation) ?? ''
  const described = partsOf(wsdl, methods[name] ?? {})
  const parts = leavesOf(described)
  const missing = [...operation.required, ...operation.optional].filter(param => !parts.includes(param))
  if (missing.length > 0) {
    const offer = `${shown(name)}(${parts.map(shown).join(', ')})`
    throw new TransportError(`the operation ${shown(name)} of the WSDL has no parameter ${missing.join(', ')}; it offers ${offer}`)
  }
  const fixed = ['class', 'method', 'user', 'password'].filter(param => parts.includes(param))
  const templates = new Map<string, Template>()
  const { headers } = build(name, {})
  return {
    name,
    parts,
    action: actionOf(headers),
    template(present) {
      const key = present.join()
      let template = templates.get(key)
      if (!template) {
        template = createTemplate([...fixed, ...present], marks => build(name, fillParts(described, marks)).xml)
        templates.set(key, template)
      }
      return template
    },
  }
}

/** Values by the spelling and the structure of the WSDL; what has no value is left out. */
const fillParts = (parts: Parts, values: Record<string, string>): Parts =>
  Object.fromEntries(
    Object.entries(parts).flatMap(([name, type]): [string, unknown][] => {
      if (isObject(type)) return [[name, fillParts(withoutNamespaces(type), values)]]
      const value = values[name.toLowerCase()]
      return value === undefined ? [] : [[name, value]]
    }),
  )

/** Lets the library build a message, and sends nothing. */
function createBuilder(wsdl: WSDL, { service, port }: Port) {
  let built: Built | undefined
  const httpClient = {
    request(_: string, xml: string, __: unknown, headers: Record<string, string>) {
      built = { xml, headers }
    },
  }
  const client = new Client(wsdl, undefined, { httpClient } as unknown as ConstructorParameters<typeof Client>[2]) // it calls nothing else
  const ports = client[service] as Record<string, Record<string, (values: Parts | null, callback: () => void) => void>> // as the WSDL has it
  return (name: string, values: Parts): Built => {
    built = undefined
    const call = ports[port]?.[name]
    try {
      call?.(values, () => {})
    } catch {
      call?.(null, () => {}) // how the library wants it where a message has no parts
    }
    if (!built) throw new TransportError(`the library for SOAP builds no message for ${shown(name)}`)
    return built
  }
}

function actionOf({ SOAPAction = '""' }: Record<string, string>): string {
  try {
    validateHeaderValue('soapaction', SOAPAction)
    return SOAPAction
  } catch {
    throw new TransportError('a soapAction of the WSDL has characters that HTTP cannot carry')
  }
}

/** Where a WSDL sends calls, and with them the password. */
function addressOf({ location }: Port): URL {
  const url = URL.parse(location)
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password)
    throw new TransportError('the address in the WSDL is not a http or https URL without credentials; set the URL of the account')
  if (url.protocol === 'http:' && !isLocal(url))
    throw new TransportError('the address in the WSDL is plain http; set the URL of the account to one with https')
  return url
}
