import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

const html = { accept: 'text/html,*/*;q=0.8' }

describe('GET /', () => {
  test('links the documents for a program', async ({ gateway }) => {
    const { json, headers } = await gateway.request('/', { key: null })

    expect(json).toEqual({
      name: 'Afilnet gateway',
      docs: '/docs',
      openapi: '/openapi.json',
      problems: '/problems',
      health: '/health/ready',
    })
    expect(headers.vary).toBe('Accept')
    for (const path of [json.docs, json.openapi, json.problems, json.health])
      expect((await gateway.request(path, { key: null })).status, path).toBe(200)
  })

  test('is a page for a person, with links that work under the public URL', async ({ start }) => {
    const gateway = await start({ env: { PUBLIC_URL: 'https://example.com/chat-api' } })

    const { status, headers, text } = await gateway.request('/', { key: null, headers: html })
    const links = [...text.matchAll(/<a href="([^"]*)"/g)].map(([, href]) => href)

    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(links).toEqual(['docs', 'openapi.json', 'problems', 'health/ready'].map(path => `https://example.com/chat-api/${path}`))
  })

  test.for([
    ['text/html;q=0.1, application/json', 'application/json'],
    ['text/html;q=0, */*', 'application/json'],
    ['*/*', 'application/json'],
    ['text/html', 'text/html'],
    ['text/html, application/xhtml+xml, */*', 'text/html'],
    ['application/json, */*', 'application/json'],
    ['application/json;q=0.5, text/html;q=0.9', 'text/html'],
  ] as const)('is for %s %s', async ([accept, type], { gateway }) => {
    for (const path of ['/', '/problems', '/problems/not-found']) {
      const { headers } = await gateway.request(path, { key: null, headers: { accept } })
      expect(headers['content-type']).toBe(`${type}; charset=utf-8`)
    }
  })

  test('does not link docs that are switched off', async ({ start }) => {
    const gateway = await start({ env: { DOCS: 'false' } })

    const { json } = await gateway.request('/', { key: null })
    const { text } = await gateway.request('/', { key: null, headers: html })

    expect(json).toEqual({ name: 'Afilnet gateway', problems: '/problems', health: '/health/ready' })
    expect(text).not.toMatch(/docs|openapi/)
  })
})
