import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Addresses that are of no use to anyone outside, from IANA's special-purpose registries. */
const internal = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  internal.addSubnet(net, bits)
  // The same addresses inside others: by themselves, behind NAT64 and in 6to4.
  internal.addSubnet(`::${net}`, 96 + bits, 'ipv6')
  internal.addSubnet(`64:ff9b::${net}`, 96 + bits, 'ipv6')
  internal.addSubnet(`2002:${inHex(net)}::`, 16 + bits, 'ipv6')
}
for (const [net, bits] of [
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['fe80::', 9],
  ['ff00::', 8],
] as const) {
  internal.addSubnet(net, bits, 'ipv6')
}

function inHex(ipv4: string) {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number)
  return [a * 256 + b, c * 256 + d].map(part => part.toString(16)).join(':')
}

/** Whether a URL's host is this machine itself, by name or literal. */
export function isLoopback({ hostname }: URL): boolean {
  return isLocalName(hostname) || listed(loopback, hostname)
}

/** Whether plain http to a host is acceptable: it is this machine, or the sandbox. */
export const isLocal = (url: URL) => isLoopback(url) || url.hostname === 'sandbox'

/** Whether a URL's host is a literal, or the name `localhost`, that is out of reach from outside this network. */
export function isInternal({ hostname }: URL): boolean {
  return isLocalName(hostname) || listed(internal, hostname)
}

const isLocalName = (hostname: string) => /^(.+\.)?localhost\.?$/.test(hostname)

function listed(list: BlockList, hostname: string) {
  const literal = hostname.replace(/^\[(.*)\]$/, '$1')
  const family = isIP(literal)
  return family !== 0 && list.check(literal, family === 6 ? 'ipv6' : 'ipv4')
}

/** Whether a text is an address or a block of them, such as `10.0.0.0/8`; the block of everything is none. */
export function isBlock(text: string): boolean {
  const [, address = '', bits] = /^([^/%]+)(?:\/([1-9]\d{0,2}))?$/.exec(text) ?? []
  const family = isIP(address)
  return family !== 0 && Number(bits ?? 0) <= (family === 6 ? 128 : 32)
}

/** Tells whether an address lies in one of the blocks, each of which `isBlock` knows as one. */
export function membershipOf(blocks: readonly string[]): (address: string | undefined) => boolean {
  const list = new BlockList()
  for (const block of blocks) {
    const [address = '', bits] = block.split('/')
    const family = isIP(address)
    list.addSubnet(address, Number(bits ?? (family === 6 ? 128 : 32)), family === 6 ? 'ipv6' : 'ipv4')
  }
  return (address = '') => listed(list, address)
}

/**
 * The name under which an address is counted: IPv4 alone, IPv6 by the 64 bits that one subscriber has.
 *
 * Some proxies add a port; a text that is no address is its own name.
 */
export function networkOf(address: string): string {
  const bare = address.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$|^\[(.+)\](:\d+)?$/, '$1$2').replace(/%.*/, '')
  if (isIP(bare) !== 6) return bare
  const { address: canonical } = new SocketAddress({ address: bare, family: 'ipv6' })
  const mapped = /^::ffff:(.+\..+)$/.exec(canonical)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = canonical.split('::')
  const [before, after] = [head, tail ?? ''].map(part => (part === '' ? [] : part.split(':')))
  const zeros = tail === undefined ? [] : Array<string>(8 - (before?.length ?? 0) - (after?.length ?? 0)).fill('0')
  return `${[...(before ?? []), ...zeros, ...(after ?? [])].slice(0, 4).join(':')}::/64`
}

/** Whether a host, with or without a port, is this machine itself. */
export function isLoopbackHost(host = ''): boolean {
  const url = URL.parse(`http://${isIPv6(host) ? `[${host}]` : host}`)
  return url !== null && isLoopback(url)
}
