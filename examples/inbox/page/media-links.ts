import { decode } from './decode.ts'

/** A file that the gateway keeps, named in the text of a message that was sent. */
export type FileLink = { url: string; name: string; caption: string; isPicture: boolean }

/** Afilnet lists a file as its address, after the text that came with it. */
export function fileIn(text: string): FileLink | undefined {
  const [, caption = '', url = '', encoded = ''] = /^(.*?)\s*(https?:\/\/\S+\/media\/[\w-]{43}\/([^\s/?#]+))$/s.exec(text) ?? []
  if (url === '') return undefined
  const name = decode(encoded)
  return { url, name, caption, isPicture: /\.(png|jpe?g|gif|webp)$/i.test(name) }
}

/** A message in one line. */
export function preview(text: string): string {
  const file = fileIn(text)
  return file ? [`📄 ${file.name}`, file.caption].filter(Boolean).join(' ') : text
}
