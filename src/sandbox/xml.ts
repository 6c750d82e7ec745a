import { isUtf8 } from 'node:buffer'

export type XmlElement = { name: string; namespace: string; text: string; children: XmlElement[] }

type Open = XmlElement & { raw: string; namespaces: Record<string, string> }

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const token = /<\/([^\s>]+)\s*>|<([^\s/>!?]+)((?:\s+[^\s=>]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/gy
const attribute = /([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g

/** What a text of XML stands for. Line ends become line feeds, unless they are written as references. */
function decodeText(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w{1,8}));|&/gi, (_, decimal?: string, hex?: string, name?: string) => {
      const code = decimal ? Number(decimal) : hex ? Number.parseInt(hex, 16) : undefined
      const character = code === undefined ? entities[name ?? ''] : code <= 0x10_ff_ff ? String.fromCodePoint(code) : undefined
      if (character === undefined) throw new Error('an unknown entity')
      return character
    })
}

export const escapeXml = (text: string) => text.replace(/[&<>"\r]/g, character => `&#${character.charCodeAt(0)};`)

/** Reads the XML that a careful client sends: no DTD, no comments, no CDATA. Throws an error in words that quote nothing. */
export function readXml(bytes: Buffer): XmlElement {
  if (!isUtf8(bytes)) throw new Error('it is not UTF-8')
  const xml = bytes.toString().replace(/^\s*<\?xml [^>]*\?>\s*/, '')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what XML 1.0 forbids
  if (/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(xml)) throw new Error('it has a control character')
  const root: Open = { name: '', raw: '', namespace: '', text: '', children: [], namespaces: { '': '' } }
  const stack = [root]
  token.lastIndex = 0
  for (let at = 0; at < xml.length; at = token.lastIndex) {
    const [, closed, opened, attributes = '', empty, text] = token.exec(xml) ?? []
    const top = stack.at(-1) ?? root
    if (closed !== undefined) {
      if (stack.length === 1 || closed !== top.raw) throw new Error('its tags do not match')
      stack.pop()
    } else if (opened !== undefined) {
      const element = open(opened, attributes, top.namespaces)
      top.children.push(element)
      if (!empty) stack.push(element)
    } else if (text !== undefined) top.text += decodeText(text)
    else throw new Error('it has something that is no tag')
  }
  const [element, ...more] = root.children
  if (!element || more.length > 0 || stack.length > 1 || root.text.trim() !== '') throw new Error('it has not one element')
  return element
}

function open(raw: string, attributes: string, inherited: Record<string, string>): Open {
  const namespaces = { ...inherited }
  for (const [, name = '', double, single] of attributes.matchAll(attribute)) {
    const [, prefix] = /^xmlns(?::(.+))?$/.exec(name) ?? []
    if (/^xmlns(:|$)/.test(name)) namespaces[prefix ?? ''] = decodeText(double ?? single ?? '')
  }
  const [local = '', prefix = ''] = raw.split(':').toReversed()
  const namespace = namespaces[prefix]
  if (namespace === undefined) throw new Error('it has a prefix without a namespace')
  return { name: local, raw, namespace, text: '', children: [], namespaces }
}
