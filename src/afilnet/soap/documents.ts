import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Connector } from '../connector.ts'
import { requestOnce } from '../single-request.ts'
import { TransportError } from '../transport-error.ts'
import { decodeXml, hasDoctype } from './xml.ts'

export type DocumentsOptions = { connect: Connector; timeoutMs: number }

const maxDocuments = 32
const maxBytes = 4_194_304

/** What stands for the path of a file: the library resolves relative imports of URLs only. */
const fileOrigin = 'http://file.invalid'

/**
 * The documents that a WSDL consists of: itself, and what it imports from its own host or, for a file, from its own directory.
 *
 * No document may define entities, and all together are bounded.
 */
export class Documents {
  /** The WSDL's own URL, as the library is to know it. */
  readonly base: URL
  readonly #directory: string | undefined
  readonly #options: DocumentsOptions
  #count = 0
  #bytes = 0

  constructor(wsdl: URL, options: DocumentsOptions) {
    this.#options = options
    this.#directory = wsdl.protocol === 'file:' ? `${dirname(wsdl.pathname)}/`.replace(/^\/\/$/, '/') : undefined
    this.base = this.#directory === undefined ? wsdl : new URL(wsdl.pathname, fileOrigin)
  }

  /** Throws a `TransportError`. */
  async load(url: URL): Promise<string> {
    if (url.origin !== this.base.origin)
      throw new TransportError('the WSDL imports a document of another host, which the gateway does not read')
    if (++this.#count > maxDocuments) throw new TransportError(`the WSDL imports more than ${maxDocuments} documents`)
    const bytes = this.#directory === undefined ? await this.#fetch(url) : await this.#readFile(url, this.#directory)
    this.#bytes += bytes.length
    if (this.#bytes > maxBytes) throw new TransportError(`the WSDL has more than ${maxBytes} bytes`)
    const text = decodeXml(bytes)
    if (text === undefined) throw new TransportError('the WSDL has an encoding that the gateway does not read')
    if (hasDoctype(text)) throw new TransportError('the WSDL has a document type declaration, which could define entities')
    if (!/^\s*</.test(text)) throw new TransportError('the WSDL is not XML')
    if (text.includes('__proto__')) throw new TransportError('the WSDL uses the name __proto__')
    return text
  }

  async #fetch(url: URL): Promise<Buffer> {
    const headers = { Accept: 'text/xml, application/xml, application/wsdl+xml' }
    const response = await requestOnce({ ...this.#options, url, method: 'GET', headers, maxBytes }).catch((error: unknown) => {
      if (isTooLarge(error)) throw new TransportError(`the WSDL has more than ${maxBytes} bytes`)
      throw new TransportError('the WSDL cannot be fetched', { isTemporary: true }) // the message may hold anything
    })
    const { status, bytes } = response
    if (status !== 200)
      throw new TransportError(`the WSDL cannot be fetched: HTTP ${status}`, { isTemporary: status >= 500 || status === 429 })
    return bytes
  }

  async #readFile(url: URL, directory: string): Promise<Buffer> {
    if (!url.pathname.startsWith(directory)) throw new TransportError('the WSDL imports a file outside of its directory')
    return readFile(fileURLToPath(`file://${url.pathname}`)).catch((error: NodeJS.ErrnoException) => {
      throw new TransportError(`the WSDL, or a file that it imports, cannot be read (${error.code})`)
    })
  }
}

const isTooLarge = (error: unknown) => (error as NodeJS.ErrnoException).code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE'
