import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { extname } from 'node:path'

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Where files may come from. A browser resolves `../../../client/src/` of a page's module to `/client/src/`, so the pages import as Node does. */
const folders: Record<string, URL> = {
  '/page/': new URL('../page/', import.meta.url),
  '/client/src/': new URL('../../../client/src/', import.meta.url),
}

/** Scripts and styles from here only, and calls to here and to the gateway. The import map is the one script within the page. */
export async function policyFor(gateway: string) {
  const html = await readFile(new URL('index.html', folders['/page/']), 'utf8')
  const [, importMap = ''] = /<script type="importmap">(.*?)<\/script>/s.exec(html) ?? []
  const scripts = `script-src 'self' 'sha256-${hash('sha256', importMap, 'base64')}'`
  return `default-src 'none'; ${scripts}; style-src 'self'; img-src 'self' blob: data: ${gateway}; connect-src 'self' ${gateway}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}

/** A file of the page, its types stripped, or nothing. */
export async function fileOf(path: string): Promise<{ type: string; content: string } | undefined> {
  if (path === '/') return module(new URL('index.html', folders['/page/']))
  if (path === '/packages/openapi-fetch.js') return module(new URL(import.meta.resolve('openapi-fetch')))
  const [, folder = '', name = ''] = /^(\/[a-z/]+\/)([a-z-]+\.(?:ts|css|svg))$/.exec(path) ?? []
  return folders[folder] && module(new URL(name, folders[folder]))
}

async function module(file: URL) {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const extension = extname(file.pathname).replace('.mjs', '.js')
  return { type: types[extension] ?? 'text/plain', content: extension === '.ts' ? stripTypeScriptTypes(text) : text }
}
