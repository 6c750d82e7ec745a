import sax, { type SAXOptions } from 'sax'
import { hasDoctype } from './xml.ts'

/** What an element holds: a text, nothing (`xsi:nil`), named members, or items. */
export type Value = string | null | Members | Value[]
export type Members = { [name: string]: Value }

type Element = { name: string; isNil: boolean; isArray: boolean; text: string; children: [name: string, value: Value][] }

/** No entities but those of XML; the types do not know this option. */
const options = { position: false, strictEntities: true } as SAXOptions

/** Elements inside each other; JSON has the same bound. */
const maxDepth = 80

/** Elements and attributes: as many as 8 MiB of rows have, and no more than can be read in about a second. */
const maxMarkup = 500_000

/**
 * Reads an XML document; throws if it is none, if it is too deep, or if it has a DTD. Names lose their prefixes; types are ignored, but for arrays.
 *
 * Not with the library for SOAP: its reader turns ids into numbers that cannot hold them and CDATA into structures, and an attribute
 * `id="__proto__"` changes the prototype of every object.
 */
export function readXml(xml: string): Members {
  if (hasDoctype(xml)) throw new Error('has a document type declaration')
  const parser = sax.parser(true, options)
  const open: Element[] = [{ name: '', isNil: false, isArray: false, text: '', children: [] }]
  const top = () => open.at(-1) as Element // the document itself is never closed
  parser.onerror = error => {
    throw error
  }
  let markup = 0
  const count = () => {
    if (++markup > maxMarkup) throw new Error('too much markup')
  }
  parser.onattribute = count
  parser.onopentagstart = count
  parser.onopentag = ({ name, attributes }) => {
    if (open.length > maxDepth) throw new Error('nested too deep')
    open.push({ name: localName(name), ...markedAs(attributes as Record<string, string>), text: '', children: [] })
  }
  parser.ontext = parser.oncdata = text => {
    top().text += text
  }
  parser.onclosetag = () => {
    const element = open.pop() as Element // the parser pairs the tags
    top().children.push([element.name, contentOf(element)])
  }
  parser.write(xml).close()
  return membersOf(top().children)
}

const localName = (name: string) => name.slice(name.indexOf(':') + 1)

function markedAs(attributes: Record<string, string>) {
  let isNil = false
  let isArray = false
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'href' && value.startsWith('#')) throw new Error('stands for another element') // what is repeated could grow without end
    const local = localName(name)
    if (local === 'nil') isNil = value === 'true' || value === '1'
    if (local === 'arrayType' || (local === 'type' && /^(.*:)?Array(Of\w*)?$/.test(value))) isArray = true
  }
  return { isNil, isArray }
}

function contentOf({ name, isNil, isArray, text, children }: Element): Value {
  if (isNil) return null
  if (children.length === 0) return isArray ? [] : text
  const isItems = children.every(([child]) => child === 'item')
  // PHP writes an array with names as items of a key and a value.
  if (isItems && children.every(([, value]) => isPair(value))) return membersOf(children.map(([, value]) => memberOf(value as Members)))
  if (isArray || isItems) return children.map(([, value]) => value)
  if (name !== 'list') return membersOf(children)
  // A list has rows, whatever they are called; or it is repeated, and each one is a row.
  return children.some(([, value]) => isMembers(value)) ? children.map(([, value]) => value) : [membersOf(children)]
}

/** Without types in the message, PHP names the items of an array after the type that they have, as in `<ns2:Map>`. */
function memberOf({ key, value = null }: Members): [name: string, value: Value] {
  const [items, ...more] = key === 'list' && isMembers(value) ? Object.values(value) : []
  return [String(key), Array.isArray(items) && more.length === 0 ? items : value]
}

export const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value)

const isPair = (value: Value) =>
  isMembers(value) && typeof value.key === 'string' && Object.keys(value).length === (Object.hasOwn(value, 'value') ? 2 : 1)

/** Names that are repeated become lists. */
function membersOf(children: readonly [string, Value][]): Members {
  const members: Members = Object.create(null) // so that `__proto__` is a name like any other
  const repeated = new Set<string>()
  for (const [name, value] of children) {
    const before = members[name]
    if (before === undefined) members[name] = value
    else if (name === 'list' && Array.isArray(before) && Array.isArray(value)) before.push(...value)
    else if (repeated.has(name)) (before as Value[]).push(value)
    else {
      repeated.add(name)
      members[name] = [before, value]
    }
  }
  return members
}
