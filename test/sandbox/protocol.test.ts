import { describe, expect, onTestFinished } from 'vitest'
import { type Sandbox, startSandbox } from '../../src/sandbox/app.ts'
import { answerTo, basic, call, chat, form, formHead, type Params, post, test } from './client.ts'

const success = (result: unknown) => ({ status: 'SUCCESS', result })
const error = (code: string) => ({ status: 'ERROR', error: code })

describe('a check', () => {
  const send = { ...chat, message: 'Hello' }
  const file = { ...chat, type: 'image', fileurl: 'https://example.com/a.png' }
  const without = (params: Params, name: string) => Object.fromEntries(Object.entries(params).filter(([key]) => key !== name))

  const order = ['class', 'method', 'user', 'password'].map((name, index, all) => [name, all.slice(index)] as const)
  test.for(order)('names a missing %s before what is missing or wrong later', async ([name, gone], { sandbox }) => {
    const wrong: Params = { class: 'x', method: 'x', user: 'x', password: 'x' }
    const params = Object.fromEntries(Object.entries(wrong).filter(([key]) => !gone.includes(key)))

    expect(await answerTo(sandbox, params)).toEqual(error(`MISSING_${name.toUpperCase()}`))
    expect(await answerTo(sandbox, { ...params, [name]: '' })).toEqual(error(`MISSING_${name.toUpperCase()}`))
  })

  const required: [string, Params, string[]][] = [
    ['sendmessage', send, Object.keys(send)],
    ['sendfile', file, Object.keys(file)],
    ['getchats', { platform: 'whatsapp', platformid: '100' }, ['platform', 'platformid']],
    ['getmessages', chat, Object.keys(chat)],
    ['getunreadmessages', chat, Object.keys(chat)],
  ]
  test.for(required)('asks %s for every required parameter before it looks at a value', async ([method, params, names], { sandbox }) => {
    const bad = Object.fromEntries(Object.keys(params).map(name => [name, 'wrong']))
    for (const name of names) {
      expect(await answerTo(sandbox, call(sandbox, method, { ...without(bad, name), password: 'wrong' }))).toEqual(
        error('MISSING_COMPULSORY_PARAM'),
      )
      expect(await answerTo(sandbox, call(sandbox, method, { ...params, [name]: '' }))).toEqual(error('MISSING_COMPULSORY_PARAM'))
    }
    expect(sandbox.sent).toEqual([])
  })

  const incorrect: [string, string, Params][] = [
    ['INCORRECT_USER_PASSWORD', 'sendmessage', { ...send, password: 'wrong', platformid: '999' }],
    ['INCORRECT_USER_PASSWORD', 'nonsense', { user: 'nobody' }],
    ['INCORRECT_CLASS', 'sendmessage', { class: 'nonsense' }],
    ['INCORRECT_CLASS', 'sendmessage', { class: 'constructor' }],
    ['INCORRECT_METHOD', 'nonsense', {}],
    ['INCORRECT_METHOD', 'toString', {}],
    ['CHANNEL_NOT_FOUND', 'sendmessage', { ...send, platformid: '999' }],
    ['CHANNEL_NOT_FOUND', 'sendfile', { ...file, platform: 'telegram', type: 'wrong' }],
    ['CHANNEL_NOT_FOUND', 'getchats', { platform: 'fax', platformid: '100' }],
    ['CHANNEL_NOT_FOUND', 'getmessages', { ...chat, platformid: '999' }],
    ['CHANNEL_NOT_FOUND', 'getunreadmessages', { ...chat, platformid: '999' }],
    ['CHAT_NOT_FOUND', 'sendfile', { ...file, destination: '1', type: 'wrong' }],
    ['CHAT_NOT_FOUND', 'getmessages', { ...chat, destination: '1' }],
    ['CHAT_NOT_FOUND', 'getunreadmessages', { ...chat, destination: '1' }],
    ['INCORRECT_FILETYPE', 'sendfile', { ...file, type: 'Image', fileurl: 'wrong' }],
    ['INCORRECT_FILEURL', 'sendfile', { ...file, fileurl: '/a.png', thumburl: 'wrong' }],
    ['INCORRECT_FILEURL', 'sendfile', { ...file, fileurl: 'ftp://example.com/a.png' }],
    ['INCORRECT_THUMBURL', 'sendfile', { ...file, thumburl: 'https://' }],
  ]
  test.for(incorrect)('answers %s to %s', async ([code, method, params], { sandbox }) => {
    const reply = await post(sandbox, call(sandbox, method, params))

    expect(reply.status).toBe(200)
    expect(await reply.json()).toEqual(error(code))
    expect(sandbox.sent).toEqual([])
  })

  test('lets a whole file through, its options included', async ({ sandbox }) => {
    const params = { ...file, thumburl: 'http://example.com/t.png', message: 'Look' }

    expect(await answerTo(sandbox, call(sandbox, 'sendfile', params))).toEqual(success([]))
    expect(sandbox.sent).toMatchObject([{ method: 'sendfile', ...params }])
  })

  test('lets the vendor’s own clients log in', async ({ sandbox }) => {
    expect(await answerTo(sandbox, call(sandbox, 'getbalance', { class: 'user' }))).toEqual(success('100.00'))
  })
})

describe('strictness', () => {
  const tail = (sandbox: Sandbox, more: string) => `${form(call(sandbox, 'getchats', { platform: 'whatsapp', platformid: '100' }))}&${more}`

  test.for([
    ['a parameter that the method does not document', 'destination=1', 'destination'],
    ['a parameter in another case', 'Platform=telegram', 'Platform'],
    ['a parameter that is there twice', 'platform=whatsapp', 'platform'],
    ['a class that is there twice', 'class=chat', 'class'],
  ] as const)('names %s', async ([, more, name], { sandbox }) => {
    const reply = await post(sandbox, tail(sandbox, more))

    expect(reply.status).toBe(400)
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain/)
    expect(await reply.text()).toContain(`Parameter ${name} `)
    expect(sandbox.calls).toMatchObject([{ answer: { status: 400 } }])
  })

  test.for([
    ['a value that is no UTF-8', 'x=%E9'],
    ['a surrogate written as UTF-8', 'x=%ED%A0%80'],
    ['a stray percent sign', 'x=50%'],
    ['a name that is no UTF-8', 'x%FF=1'],
  ] as const)('refuses %s, whatever the class', async ([, more], { sandbox }) => {
    const reply = await post(sandbox, `${form(call(sandbox, 'getbalance', { class: 'user' }))}&${more}`)

    expect(reply.status).toBe(400)
    expect(await reply.text()).toMatch(/^Parameter x.? is not percent-encoded UTF-8$/m)
  })

  test('counts query and body together', async ({ sandbox }) => {
    const params = form(call(sandbox, 'getchatchannels'))
    const reply = await fetch(`${sandbox.url}/api/http/?class=chat`, { ...formHead, body: params })

    expect(reply.status).toBe(400)
  })

  test.for([
    ['an upload', 'name="fileurl"; filename="a"', 'x', 'fileurl'],
    ['bytes that are no UTF-8', 'name="message"', '\xe9', 'UTF-8'],
    ['a part without a name', 'nothing', 'x', 'malformed'],
  ] as const)('refuses %s in multipart', async ([, disposition, value, reported], { sandbox }) => {
    const body = Buffer.from(`--cut-here\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${value}\r\n--cut-here--\r\n`, 'latin1')
    const reply = await fetch(`${sandbox.url}/api/http/`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=cut-here' },
      body,
    })

    expect(reply.status).toBe(400)
    expect(await reply.text()).toContain(reported)
  })

  test.for([
    ['basic', 'user'],
    ['basic', 'password'],
    ['json', 'user'],
    ['json', 'password'],
  ] as const)('at /api/%s/ refuses the parameter %s, which the Authorization header carries', async ([way, name], { sandbox }) => {
    const params = { class: 'chat', method: 'getchatchannels', [name]: 'x' }
    const json = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(params) }
    const reply = await fetch(`${sandbox.url}/api/${way}/`, way === 'json' ? json : { ...formHead, body: form(params) })

    expect(reply.status).toBe(400)
    expect(await reply.text()).toContain(`Parameter ${name} does not belong at /api/${way}/`)
  })

  test('takes a password with colons by Basic, whose user ends at the first one', async () => {
    const sandbox = await startSandbox({ password: 'fake:pass:word' })
    onTestFinished(() => sandbox.close())
    const headers = { authorization: basic(sandbox.user, sandbox.password) }
    const reply = await fetch(`${sandbox.url}/api/basic/?class=chat&method=getchatchannels`, { headers })

    expect(await reply.json()).toMatchObject({ status: 'SUCCESS' })
  })

  test('leaves a body of another type unread, and takes no other method', async ({ sandbox }) => {
    const json = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"class":"chat"}' }

    expect(await (await fetch(`${sandbox.url}/api/http/`, json)).json()).toEqual(error('MISSING_CLASS'))
    const { status, headers } = await fetch(`${sandbox.url}/api/http/`, { method: 'PUT' })
    expect([status, headers.get('allow')]).toEqual([405, 'GET, POST'])
  })
})
