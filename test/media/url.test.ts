import { expect, test } from 'vitest'
import { tokenIn, urlOf } from '../../src/media/url.ts'

const file = { token: 'x'.repeat(43), name: 'menu.jpg' }

test.for([
  ['http://127.0.0.1:80', 'http://127.0.0.1/'],
  ['https://chat.example.com/api', 'HTTPS://Chat.Example.com:443/api/'],
] as const)('a file under %s is known by its own URL, and by %s', ([base, other]) => {
  expect(tokenIn(urlOf(base, file), [base])).toBe(file.token)
  expect(tokenIn(`${other}media/${file.token}/${file.name}`, [base])).toBe(file.token)
  expect(tokenIn(urlOf('https://elsewhere.example.com', file), [base])).toBeUndefined()
})
