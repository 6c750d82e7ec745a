import { describe, expect } from 'vitest'
import { test } from '../sandbox/client.ts'
import { authorization, credentials, formOf, transcripts } from './transcripts.ts'

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const credentialParams = [...new URLSearchParams(credentials)]

describe.for(transcripts)('the sandbox, asked for $operation.method', transcript => {
  const ways = {
    post: { path: '/api/http/', init: { method: 'POST', headers: form, body: formOf(transcript, true) }, account: credentialParams },
    basic: {
      path: '/api/basic/',
      init: { method: 'POST', headers: { ...form, authorization }, body: formOf(transcript, false) },
      account: [],
    },
    get: { path: `/api/http/?${formOf(transcript, true)}`, init: {}, account: credentialParams },
  }

  test.for(Object.entries(ways))('takes the request of the transcript by %s', async ([, { path, init, account }], { sandbox }) => {
    const response = await fetch(sandbox.url + path, init)

    expect(response.status).toBe(200)
    const { method } = transcript.operation
    const params = Object.entries(transcript.params)
    expect(sandbox.calls).toMatchObject([{ params: [['class', 'chat'], ['method', method], ...account, ...params] }])
    expect(sandbox.sent).toMatchObject(method.startsWith('send') ? [transcript.params] : [])
  })

  test('answers in the documented shape', async ({ sandbox }) => {
    const { path, init } = ways.post

    const text = await (await fetch(sandbox.url + path, init)).text()

    const { status, result } = JSON.parse(text)
    expect(status).toBe('SUCCESS')
    expect(text).toBe(JSON.stringify({ status, result }))
    if (transcript.fields.length === 0) return expect(result).not.toHaveProperty('list')
    expect(result.list.length).toBeGreaterThan(0)
    for (const row of result.list) expect(Object.keys(row).toSorted()).toEqual(transcript.fields.toSorted())
  })
})
