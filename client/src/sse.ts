/** One block of a stream of server-sent events; without `data` it only moves the position. */
export type Block = { id?: string; data?: string; retryMs?: number }

/**
 * Takes a stream apart until its signal. Comments yield empty blocks, which show the reader that the stream is alive.
 *
 * The signal of a request does not always end its body: in Node.js it is lost with the request, once the garbage collector takes that.
 */
export async function* blocksOf(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<Block> {
  const reader = body.getReader()
  signal.addEventListener('abort', () => reader.cancel().catch(() => {}), { once: true })
  const decoder = new TextDecoder()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    rest += decoder.decode(value, { stream: true })
    const blocks = rest.split(/\r?\n\r?\n/)
    rest = blocks.pop() ?? ''
    for (const block of blocks) yield blockOf(block)
  }
}

function blockOf(text: string): Block {
  const block: Block = {}
  for (const line of text.split(/\r?\n/)) {
    const [, field, value = ''] = /^(id|data|retry): ?(.*)$/s.exec(line) ?? []
    if (field === 'id') block.id = value
    if (field === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`
    if (field === 'retry' && /^\d+$/.test(value)) block.retryMs = Number(value)
  }
  return block
}
