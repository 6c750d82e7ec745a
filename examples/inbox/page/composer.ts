import { byId, isComposing } from './dom.ts'

/** Where a message is written, and where files are dropped. Enter sends, Shift and Enter begin a new line. */
export function createComposer(onSend: (text: string, file?: File) => void) {
  const form = byId<HTMLFormElement>('composer')
  const text = byId<HTMLTextAreaElement>('text')
  const picker = byId<HTMLInputElement>('file')
  const thread = byId('thread')
  const drafts = new Map<string, string>()
  let openKey = ''

  const grow = () => {
    form.style.minHeight = `${form.offsetHeight}px` // the messages above must not move while this measures
    text.style.height = 'auto'
    text.style.height = `${text.scrollHeight + 2}px` // with its borders
    form.style.minHeight = ''
  }
  const send = (file?: File) => {
    const message = text.value.trim()
    if (message === '' && !file) return
    onSend(message, file)
    text.value = ''
    grow()
  }
  const sendAll = (files: FileList | null | undefined) => {
    for (const file of files ?? []) send(file)
  }

  form.addEventListener('submit', event => {
    event.preventDefault()
    send()
    text.focus()
  })
  text.addEventListener('input', grow)
  text.addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return
    event.preventDefault()
    send()
  })
  byId('attach').addEventListener('click', () => picker.click())
  picker.addEventListener('change', () => {
    sendAll(picker.files)
    picker.value = ''
  })
  text.addEventListener('paste', ({ clipboardData }) => {
    if (!clipboardData?.types.includes('text/plain')) sendAll(clipboardData?.files) // a spreadsheet adds a picture to its text
  })

  for (const name of ['dragover', 'drop'] as const) addEventListener(name, event => event.preventDefault()) // a file beside the target is not opened
  for (const name of ['dragenter', 'dragover'] as const) {
    thread.addEventListener(name, event => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      thread.classList.add('dropping')
    })
  }
  thread.addEventListener('dragleave', ({ relatedTarget }) => {
    if (!thread.contains(relatedTarget as Node | null)) thread.classList.remove('dropping')
  })
  thread.addEventListener('drop', event => {
    event.preventDefault()
    thread.classList.remove('dropping')
    sendAll(event.dataTransfer?.files)
  })

  return {
    /** Each conversation keeps what was begun in it: what one person shall read must not go to another. */
    open(key: string) {
      drafts.set(openKey, text.value)
      openKey = key
      text.value = drafts.get(key) ?? ''
      grow()
      text.focus()
    },
  }
}
