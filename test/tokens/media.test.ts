import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'
import { postForm, samples } from '../media/forms.ts'
import { issue, told } from './issuing.ts'

const scopes = ['files:send', 'media:write']
const files = '/chats/whatsapp/100/34600000000/files'
const nextFiles = '/chats/whatsapp/100/34600000001/files'
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

describe('A file that was stored with a token', () => {
  test('belongs to its actor in its conversation, and to no other caller', async ({ gateway, sandbox }) => {
    const next = { platform: 'whatsapp', platformId: '100', destination: '34600000001' }
    const [alice, again, bob, elsewhere] = await Promise.all([
      issue(gateway, { scopes, actor: 'alice' }),
      issue(gateway, { scopes, actor: 'alice' }),
      issue(gateway, { scopes, actor: 'bob' }),
      issue(gateway, { scopes, actor: 'alice', chat: next }),
    ])
    const { id, url } = (await postForm(gateway, '/media', [['file', samples.png]], bearer(alice))).json
    const send = (key: string | undefined, path = files) =>
      gateway.request(path, {
        method: 'POST',
        ...(key && { key }),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'image', fileUrl: url }),
      })
    const others = [bob, elsewhere, undefined] // the last is the key that issued them

    for (const key of others) {
      expect(told(await gateway.request(`/media/${id}`, key ? { key } : {}))).toEqual([404, 'media-not-found'])
      expect(told(await gateway.request(`/media/${id}`, { method: 'DELETE', ...(key && { key }) }))).toEqual([404, 'media-not-found'])
    }
    expect(told(await send(bob))).toEqual([422, 'media-not-found'])
    expect(told(await send(elsewhere, nextFiles))).toEqual([422, 'media-not-found'])
    expect(told(await send(undefined))).toEqual([422, 'media-not-found'])
    expect(told(await send(alice, nextFiles))).toEqual([403, 'chat-not-allowed'])
    expect(sandbox.sent).toEqual([])
    for (const key of [alice, again]) expect((await gateway.request(`/media/${id}`, { key })).json).toMatchObject({ id, url })
    expect((await send(again)).status).toBe(201)
    expect((await gateway.request(`/media/${id}`, { method: 'DELETE', key: again })).status).toBe(204)
    expect(sandbox.sent).toMatchObject([{ fileurl: url, destination: '34600000000' }])
  })

  test('needs the scope of the token, also where its key has it', async ({ gateway, sandbox }) => {
    const reader = await issue(gateway, { scopes: ['messages:read'] })
    const sender = await issue(gateway, { scopes: ['files:send'] })
    const post = (path: string, key: string) => postForm(gateway, path, [['file', samples.png]], bearer(key))

    expect((await post('/media', reader)).json.code).toBe('insufficient-scope')
    expect((await post('/media', sender)).json.code).toBe('insufficient-scope')
    expect((await post(files, reader)).json.code).toBe('insufficient-scope')
    expect((await post(nextFiles, sender)).json.code).toBe('chat-not-allowed')
    expect((await post(files, sender)).status).toBe(201)
    expect(sandbox.sent).toHaveLength(1)
  })
})
