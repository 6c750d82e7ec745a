import { describe, expect, test } from 'vitest'
import { chatPattern, reaches, reachesAll } from '../src/access.ts'

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
    expect(reaches([pattern], ...values)).toBe(allowed)
  })

  test.for(['whatsapp/100', 'whatsapp/100/', '/100/x', 'whatsapp//x', 'a/b/c/d', 'a/b*c/d', 'a/*b/c', 'a/**/c', '*', '', 'a/b/c\n/d'])(
    'does not read %j',
    text => {
      expect(new RegExp(chatPattern).test(text)).toBe(false)
    },
  )

  test('reaches a channel by its first two segments, and all of it only with a last one of *', () => {
    expect(reaches(['whatsapp/100/34*'], 'whatsapp', '100')).toBe(true)
    expect(reachesAll(['whatsapp/100/34*'], 'whatsapp', '100')).toBe(false)
    expect(reachesAll(['whatsapp/100/34*', 'whatsapp/1*/*'], 'whatsapp', '100')).toBe(true)
    expect(reachesAll(['whatsapp/1*/*'], 'whatsapp', '200')).toBe(false)
  })

  test('is none where the list is empty, and all where there is no list', () => {
    expect(reaches([], 'whatsapp', '100', '34')).toBe(false)
    expect(reaches(undefined, 'whatsapp', '100', '34')).toBe(true)
    expect(reachesAll(undefined, 'whatsapp', '100')).toBe(true)
  })

  test('fits no channel of which Afilnet has not told the platform', () => {
    expect(reaches(['*/*/*'], null, '100')).toBe(false)
    expect(reaches(undefined, null, null)).toBe(true)
  })
})
