import { hash } from 'node:crypto'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import { prefers } from '../lib/prefers.ts'

const style = `:root{color-scheme:light dark;--text:#1c2024;--muted:#5a6169;--line:#d9dde1;--back:#fff;--code:#eef0f2;--link:#0a5fb4}
@media (prefers-color-scheme:dark){:root{--text:#e6e8ea;--muted:#a3abb2;--line:#3a4147;--back:#15181b;--code:#262b30;--link:#7cb8f5}}
body{font:1rem/1.55 system-ui,sans-serif;max-width:40rem;margin:0 auto;padding:2.5rem 1rem;color:var(--text);background:var(--back);overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.1rem;margin-top:2rem}a{color:var(--link)}
code{background:var(--code);padding:.1em .3em;border-radius:3px;font-size:.9em}.muted{color:var(--muted)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.5rem 1.25rem}dd{margin:0}
@media (max-width:30rem){dl{display:block}dd{margin:0 0 .8rem}}
ul{list-style:none;padding:0}li{padding:.4rem 0;border-top:1px solid var(--line)}`

const policy = `default-src 'none'; style-src 'sha256-${hash('sha256', style, 'base64')}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** The header that asks for a page, for the API document. */
export const AcceptHeader = Type.Object({ accept: Type.Optional(Type.String({ description: 'With `text/html`: a page' })) })

/** An answer to programs that is a page for browsers, for the API document. */
export const jsonOrPage = <T extends TSchema>(what: string, schema: T, example?: unknown) => ({
  description: `${what}; HTML for a browser`,
  content: {
    'application/json': { schema, ...(example !== undefined && { example }) },
    'text/html': { schema: Type.String(), example: '<!doctype html>…' },
  },
})

/** Whether the request comes from a browser. */
export const isBrowser = ({ accept }: { accept?: string | undefined }) => prefers(accept, 'text/html', 'application/json')

/** Answers with a page that loads nothing and runs nothing. */
export function sendPage(reply: FastifyReply, title: string, body: string) {
  return reply.headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy }).send(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><title>${title}</title><style>${style}</style></head>
<body><main>
${body}
</main></body></html>
`)
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Text for a page; what stands between backticks is code. */
export const markup = (text: string) =>
  text.replace(/[&<>"]/g, character => escapes[character] ?? '').replace(/`([^`]+)`/g, '<code>$1</code>')
