import { expect, test } from 'vitest'
import { fileIn, preview } from '../../examples/inbox/page/media-links.ts'

const address = `https://gateway.example.com/media/${'a'.repeat(43)}`

test.for([
  [`${address}/photo.png`, { name: 'photo.png', caption: '', isPicture: true }],
  [`Our menu ${address}/men%C3%BA.pdf`, { name: 'menú.pdf', caption: 'Our menu', isPicture: false }],
  [`${address}/photo%E2%80%AEgpj.exe`, { name: 'photogpj.exe', caption: '', isPicture: false }],
  [`${address}/100%`, { name: '100%', caption: '', isPicture: false }],
] as const)('a sent file is found in %s', ([text, file]) => {
  expect(fileIn(text)).toMatchObject(file)
  expect(preview(text)).toContain(file.name)
})

test.for(['Hello', '', 'https://example.com/media/short/photo.png', `${address}/photo.png and more`])('%s is text', text => {
  expect(fileIn(text)).toBeUndefined()
  expect(preview(text)).toBe(text)
})

test.for([' '.repeat(200_000), 'http://'.repeat(30_000)])('a file is found after a long text, which is text alone', before => {
  expect(fileIn(`${before} and more`)).toBeUndefined()
  expect(fileIn(`${before}\n${address}/menu.pdf`)).toMatchObject({
    url: `${address}/menu.pdf`,
    name: 'menu.pdf',
    caption: before.trimEnd(),
  })
})
