import { describe, expect, test } from 'vitest'
import { isBlock, isInternal, isLoopback, isLoopbackHost, membershipOf, networkOf } from '../../src/lib/addresses.ts'

/** Hosts as they may stand in a URL; the parser turns the odd ones into plain ones. */
const loopback = [
  'localhost',
  'LOCALHOST',
  'localhost.',
  'app.localhost',
  '127.0.0.1',
  '127.0.0.1.',
  '127.255.255.254',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '017700000001',
  '１２７.0.0.1',
  '127%2e0.0.1',
  '127。0。0。1',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
]

const internal = [
  '0.0.0.0',
  '0',
  '10.0.0.1',
  '10.255.255.255',
  '0xa000001',
  '100.64.0.1',
  '100.127.255.255',
  '169.254.169.254',
  '2852039166',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.255',
  '192.168.0.1',
  '0300.0250.0.1',
  '192.168.1.1.',
  '198.18.0.1',
  '198.19.255.255',
  '224.0.0.1',
  '239.255.255.255',
  '255.255.255.255',
  '[::]',
  '[::ffff:10.0.0.1]',
  '[::ffff:169.254.169.254]',
  '[::10.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[64:ff9b::10.0.0.1]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b:1::1]',
  '[64:ff9b:1:ffff::1]',
  '[fc00::1]',
  '[fdff:ffff::1]',
  '[fe80::1]',
  '[febf::1]',
  '[fec0::1]',
  '[ff02::1]',
  '[2002:7f00:1::]',
  '[2002:c0a8:101::1]',
]

const open = [
  'example.com',
  'www.afilnet.com',
  'localhost.example.com',
  'notlocalhost',
  '127.0.0.1.example.com',
  '10.example.com',
  'sandbox',
  '1.1.1.1',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.0',
  '169.253.255.255',
  '169.255.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '[2606:4700:4700::1111]',
  '[::ffff:1.1.1.1]',
  '[64:ff9b::1.1.1.1]',
  '[2002:101:101::1]',
]

const url = (host: string) => new URL(`https://user:pass@${host}:8443/path`)

describe('isLoopback', () => {
  test.for(loopback)('holds for %s', host => {
    expect(isLoopback(url(host))).toBe(true)
  })

  test.for([...internal, ...open])('does not hold for %s', host => {
    expect(isLoopback(url(host))).toBe(false)
  })
})

describe('isInternal', () => {
  test.for([...loopback, ...internal])('holds for %s', host => {
    expect(isInternal(url(host))).toBe(true)
  })

  test.for(open)('does not hold for %s', host => {
    expect(isInternal(url(host))).toBe(false)
  })
})

describe('Blocks of addresses', () => {
  const isMember = membershipOf(['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '2001:db8::1'])

  test.for(['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.1', 'fd00::7', 'fd00::7%eth0', '2001:db8::1'])('have %s', address => {
    expect(isMember(address)).toBe(true)
  })

  test.for(['11.0.0.1', '::ffff:11.0.0.1', '192.0.2.2', 'fe80::1', '2001:db8::2', '', 'localhost', undefined])(
    'do not have %s',
    address => {
      expect(isMember(address)).toBe(false)
      expect(membershipOf([])(address)).toBe(false)
    },
  )
})

test.for([
  ['10.0.0.0/8', true],
  ['10.0.0.1/32', true],
  ['10.0.0.1', true],
  ['fd00::/8', true],
  ['::1/128', true],
  ['10.0.0.1/33', false],
  ['::1/129', false],
  ['0.0.0.0/0', false],
  ['fe80::1%eth0', false],
  ['localhost', false],
] as const)('Whether %s is a block of addresses: %s', ([text, expected]) => {
  expect(isBlock(text)).toBe(expected)
})

test.for([
  ['127.0.0.1', true],
  ['127.0.0.1:3001', true],
  ['::1', true],
  ['[::1]:3001', true],
  ['localhost', true],
  ['::', false],
  ['0.0.0.0', false],
  ['192.168.0.1:3001', false],
  ['', false],
  [undefined, false],
] as const)('Whether the host %s is this machine: %s', ([host, expected]) => {
  expect(isLoopbackHost(host)).toBe(expected)
})

describe('The network of an address', () => {
  test.for([
    ['198.51.100.9', '198.51.100.9'],
    ['198.51.100.9:1024', '198.51.100.9'],
    ['::ffff:198.51.100.9', '198.51.100.9'],
    ['::ffff:c633:6409', '198.51.100.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['FE80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
    ['', ''],
  ] as const)('%s is %s', ([address, network]) => {
    expect(networkOf(address)).toBe(network)
  })
})
