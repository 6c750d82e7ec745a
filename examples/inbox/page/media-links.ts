import { decode } from './decode.ts'

/** A file that the gateway keeps, named in the text of a message that was sent. */
export type FileLink = { url: string; name: string; caption: string; isPicture: boolean }

/** Afilnet lists a file as its address, after the text that came with it. Taken apart word by word: one pattern for all took seconds for a long text. */
export function fileIn(text: string): FileLink | undefined {
  const word = text.split(/\s/).at(-1) ?? ''
  const url = word.slice(Math.max(0, word.search(/https?:\/\//)))
  const encoded = /^https?:\/\/\S+\/media\/[\w-]{43}\/([^\s/?#]+)$/.exec(url)?.[1]
  if (encoded === undefined) return undefined
  const name = shownName(decode(encoded))
  const caption = text.slice(0, text.length - url.length).trimEnd()
  return { url, name, caption, isPicture: /\.(png|jpe?g|gif|webp)$/i.test(name) }
}

/** Marks of direction could show `photo\u202Egpj.exe` as `photoexe.jpg`. */
export const shownName = (name: string) => name.replace(/\p{Bidi_Control}/gu, '')

/** A message in one line. */
export function preview(text: string): string {
  const file = fileIn(text)
  return file ? [`📄 ${file.name}`, file.caption].filter(Boolean).join(' ') : text
}
