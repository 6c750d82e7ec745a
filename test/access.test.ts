import { describe, expect, test } from 'vitest'
import { allows, allowsChannel, chatPattern, destinationIssue, normalizeDestination, normalizePattern, ownerOf } from '../src/access.ts'

describe('A chat pattern', () => {
  test.for([
    ['whatsapp/100/*', ['whatsapp', '100', '34600000000'], true],
    ['whatsapp/100/*', ['whatsapp', '100', 'a/b'], true],
    ['whatsapp/100/*', ['whatsapp', '1000', '34600000000'], false],
    ['whatsapp/100/*', ['WhatsApp', '100', '34600000000'], false],
    ['whatsapp/100/*', ['whatsapp/100', 'x', 'y'], false],
    ['whatsapp/100/*', ['telegram', '100', '34600000000'], false],
    ['telegram/7/34*', ['telegram', '7', '34600000000'], true],
    ['telegram/7/34*', ['telegram', '7', '34'], true],
    ['telegram/7/34*', ['telegram', '7', '3'], false],
    ['telegram/7/34*', ['telegram', '7', '134600000000'], false],
    ['telegram/7/34*', ['telegram', '7/34', '600000000'], false],
    ['*/*/*', ['webchat', 'anything', 'at all'], true],
    ['w*/1*/x', ['webchat', '12', 'x'], true],
    ['w*/1*/x', ['webchat', '12', 'X'], false],
    ['w*/1*/x', ['webchat', '12', 'xy'], false],
    ['whatsapp/100/..', ['whatsapp', '100', '34'], false],
    ['whatsapp/%3100/*', ['whatsapp', '100', '34'], false],
  ] as const)('%s with %j: %j', ([pattern, values, allowed]) => {
    expect(allows([pattern], ...values)).toBe(allowed)
  })

  test.for(['whatsapp/100', 'whatsapp/100/', '/100/x', 'whatsapp//x', 'a/b/c/d', 'a/b*c/d', 'a/*b/c', 'a/**/c', '*', '', 'a/b/c\n/d'])(
    'does not read %j',
    text => {
      expect(new RegExp(chatPattern).test(text)).toBe(false)
    },
  )

  test('allows a channel by its first two segments, and all of it only where the last one is *', () => {
    expect(allows(['whatsapp/100/34*'], 'whatsapp', '100')).toBe(true)
    expect(allowsChannel(['whatsapp/100/34*'], 'whatsapp', '100')).toBe(false)
    expect(allowsChannel(['whatsapp/100/34*', 'whatsapp/1*/*'], 'whatsapp', '100')).toBe(true)
    expect(allowsChannel(['whatsapp/1*/*'], 'whatsapp', '200')).toBe(false)
  })

  test('is none where the list is empty, and all where there is no list', () => {
    expect(allows([], 'whatsapp', '100', '34')).toBe(false)
    expect(allows(undefined, 'whatsapp', '100', '34')).toBe(true)
    expect(allowsChannel(undefined, 'whatsapp', '100')).toBe(true)
  })

  test('matches no channel whose platform Afilnet did not name', () => {
    expect(allows(['*/*/*'], null, '100')).toBe(false)
    expect(allows(undefined, null, null)).toBe(true)
  })
})

describe('A destination', () => {
  test.for([
    ['whatsapp', '34600000000', '34600000000'],
    ['whatsapp', '+34 600-000-000', '34600000000'],
    ['whatsapp', '(+34) 600.000.000', '34600000000'],
    ['whatsapp', '[34]\u00a0600\u202f000\u2009000', '34600000000'],
    ['whatsapp', '\u202a+34 600\u2011000\u2013000\u2212\u202c\u200b', '34600000000'], // copied from a list of contacts
    ['whatsapp', '+1234567', '1234567'],
    ['whatsapp', '+123456789012345', '123456789012345'],
    ['whatsapp', '+123456', '+123456'],
    ['whatsapp', '+1234567890123456', '+1234567890123456'],
    ['whatsapp', '34600000000@lid', '34600000000@lid'],
    ['whatsapp', '34/600000000', '34/600000000'],
    ['whatsapp', '34600\n000000', '34600\n000000'],
    ['whatsapp', '٣٤٦٠٠٠٠٠٠٠٠', '٣٤٦٠٠٠٠٠٠٠٠'],
    ['telegram', '+34 600 000 000', '+34 600 000 000'],
    ['WhatsApp', '+34600000000', '+34600000000'],
  ] as const)('of %s, %j is named %j', ([platform, destination, name]) => {
    expect(normalizeDestination(platform, destination)).toBe(name)
  })

  test.for([
    ['whatsapp/100/*', ['whatsapp/100/*']],
    ['whatsapp/100/34*', ['whatsapp/100/34*']],
    ['whatsapp/100/+34 600-000-000', ['whatsapp/100/34600000000']],
    ['whatsapp/100/+34*', ['whatsapp/100/34*']],
    ['whatsapp/100/+34 (6*', ['whatsapp/100/346*']],
    ['whatsapp/100/+*', ['whatsapp/100/+*']],
    ['whatsapp/100/a-b*', ['whatsapp/100/a-b*']],
    ['telegram/7/+34*', ['telegram/7/+34*']],
    ['*/100/+34*', ['*/100/+34*', 'whatsapp/100/34*']],
    ['w*/1*/+34600000000', ['w*/1*/+34600000000', 'whatsapp/1*/34600000000']],
  ] as const)('in the pattern %s is read as %j', ([pattern, patterns]) => {
    expect(normalizePattern(pattern)).toEqual(patterns)
  })

  test.for(['whatsapp', 'telegram', 'webchat', 'operator'])('of %s is one recipient', platform => {
    for (const destination of ['1,2', '1;2', '1|2', '1\n2', '1\u00002', '1\u00852'])
      for (const sending of [true, false]) expect(destinationIssue(platform, destination, { sending }), destination).toMatch(/^contains /)
  })

  test.for([
    ['undefined', 'name of a missing value'],
    ['null', 'name of a missing value'],
    ['NULL', 'name of a missing value'],
    ['NaN', 'name of a missing value'],
    ['None', 'name of a missing value'],
    ['<nil>', 'name of a missing value'],
    ['[object Object]', 'printed as text'],
    ['{{phone}}', 'placeholder'],
    ['{{ phone }}', 'placeholder'],
    ['34{{phone}}', 'placeholder'],
    ['$' + '{to}', 'placeholder'],
    ['#{to}', 'placeholder'],
    ['<%= to %>', 'placeholder'],
    ['{to}', 'placeholder'],
    ['%s', 'placeholder'],
    ['.', 'neither letters nor digits'],
    ['..', 'neither letters nor digits'],
    [' ', 'neither letters nor digits'],
    ['📞', 'emoji'],
    ['🇪🇸', 'emoji'],
    ['1️⃣', 'emoji'],
    ['❤', 'emoji'],
    ['👩‍👩‍👧 📞', 'emoji'],
  ] as const)('%j can be read and not be sent to', ([destination, issue]) => {
    for (const platform of ['whatsapp', 'telegram', 'webchat', 'operator']) {
      expect(destinationIssue(platform, destination, { sending: false })).toBeUndefined()
      expect(destinationIssue(platform, destination, { sending: true })).toContain(issue)
    }
  })

  test.for(['34600000000 34600000001', '+34 600', 'Family group'])(
    'of WhatsApp, %j is not sent to, and read only if it is no list of numbers',
    destination => {
      expect(destinationIssue('whatsapp', destination, { sending: true })).toContain('contains a blank')
      expect(destinationIssue('whatsapp', destination, { sending: false }) === undefined).toBe(destination === 'Family group')
    },
  )

  test.for(['0034600000000', '+00 34 600 000 000', '00-12345', '00123456789012345'])(
    'of WhatsApp, %s lacks its country code',
    destination => {
      expect(destinationIssue('whatsapp', destination, { sending: true })).toMatch(/^begins with 00; write the country code/)
      expect(destinationIssue('whatsapp', destination, { sending: false })).toMatch(/^begins with 00/)
      expect(destinationIssue('telegram', destination, { sending: true })).toBeUndefined()
    },
  )

  test.for([
    '34600000000',
    'slow',
    'INCORRECT_USER_PASSWORD',
    'nullable',
    'undefined-behaviour',
    '@nobody',
    'ñandú',
    '{x',
    'a.b',
    '*',
    '0012',
    'Ana❤️',
    '34600000000📞',
    `${'👍🏽'.repeat(22)}x`, // to try each as one and as two emoji takes more than a minute
  ])('%s may be sent to on every platform', destination => {
    for (const platform of ['whatsapp', 'telegram', 'webchat', 'operator'])
      expect(destinationIssue(platform, destination, { sending: true })).toBeUndefined()
  })
})

test('An owner is a caller of an account, and with a token an actor in a chat', () => {
  const caller = { name: 'crm', account: 'main' }
  const chat = { platform: 'whatsapp', platformId: '100', destination: '34600000000' }
  const token = { id: '1', actor: 'ana', chat, expiresAt: 0 }
  const owners = [
    caller,
    { ...caller, name: 'shop' },
    { ...caller, account: 'other' },
    { ...caller, token },
    { ...caller, token: { ...token, actor: 'eva' } },
    ...Object.keys(chat).map(name => ({ ...caller, token: { ...token, chat: { ...chat, [name]: 'x' } } })),
  ]

  expect(new Set(owners.map(ownerOf)).size).toBe(owners.length)
  expect(ownerOf({ ...caller, token: { ...token, id: '2', expiresAt: 1 } })).toBe(ownerOf({ ...caller, token }))
})
