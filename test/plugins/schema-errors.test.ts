import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

const chat = '/chats/telegram/200/700100200'

describe('A refused path, query or header', () => {
  test.for([
    ['/chats/signal/1', 'path', '/platform', 'is "signal"; expected one of webchat, whatsapp, telegram, operator'],
    [`/chats/telegram/${'x'.repeat(129)}`, 'path', '/platformId', 'is 129 characters long; expected a string of 1 to 128 characters'],
    ['/chats/telegram/', 'path', '/platformId', 'is empty; expected a string of 1 to 128 characters'],
    ['/chats/telegram/1/a%0Ab/messages', 'path', '/destination', 'contains a control character'],
    ['/chats/telegram/a%0Ab', 'path', '/platformId', 'contains the character U+000A at position 2, which is not allowed'],
    ['/chats/telegram/1/a%2Cb/messages', 'path', '/destination', 'contains ","; name one recipient, not a list'],
    [
      '/chats/whatsapp/1/0034600000000/messages',
      'path',
      '/destination',
      'begins with 00; write the country code without it, as in 34600000000',
    ],
    ...['/sends', '/events'].flatMap(path =>
      (
        [
          ['platform=whatsapp&destination=0034600000000', 'begins with 00; write the country code without it, as in 34600000000'],
          ['platform=whatsapp&destination=00+34-600-000-000', 'begins with 00; write the country code without it, as in 34600000000'],
          ['platform=telegram&destination=a,b', 'contains ","; name one recipient, not a list'],
        ] as const
      ).map(([query, detail]) => [`${path}?${query}`, 'query', '/destination', detail] as const),
    ),
    ['/sends?limit=-1', 'query', '/limit', 'is "-1"; expected an integer from 1 to 100'],
    ['/sends?limit=0', 'query', '/limit', 'is 0; expected an integer from 1 to 100'],
    ['/sends?limit=101', 'query', '/limit', 'is 101; expected an integer from 1 to 100'],
    ['/sends?limit=1&limit=2', 'query', '/limit', 'is a list; expected an integer from 1 to 100'],
    [
      '/sends?state=sent',
      'query',
      '/state',
      'is "sent"; expected one of queued, pending, accepted, rejected, not_sent, unknown, expired, canceled',
    ],
    ['/sends?limit=%25zz', 'query', '/limit', 'is a string of 3 characters; expected an integer from 1 to 100'],
    [
      '/events?type=message.deleted',
      'query',
      '/type',
      'is "message.deleted"; expected message.created, message.updated, send.updated, gap, or several, separated by commas',
    ],
    [
      '/events?type=',
      'query',
      '/type',
      'is empty; expected message.created, message.updated, send.updated, gap, or several, separated by commas',
    ],
    ['/sends?cursor=x', 'query', '/cursor', 'is not the nextCursor of a page'],
    ['/channels?platform=whatsapp', 'query', '/platform', 'is not known; this operation takes no parameters'],
    ['/me?x=1', 'query', '/x', 'is not known; this operation takes no parameters'],
    [`${chat}/messages?limt=5`, 'query', '/limt', 'is not known; the known parameters are limit, before, after'],
  ] as const)('%s is explained', async ([path, place, pointer, detail], { gateway, sandbox }) => {
    const { status, json } = await gateway.get(path)

    expect({ status, errors: json.errors }).toEqual({ status: 400, errors: [{ in: place, pointer, detail }] })
    expect(json.detail).toBe(`The ${place} parameter ${pointer.slice(1)} ${detail}.`)
    expect(sandbox.calls).toEqual([])
  })

  test.for([
    ['k'.repeat(256), 'is 256 characters long; expected a string of 1 to 255 characters'],
    ['', 'is empty; expected a string of 1 to 255 characters'],
    ['order 4711', 'contains a blank at position 6, which is not allowed'],
    ['ké', 'contains the character U+00E9 at position 2, which is not allowed'],
    [['a', 'b'], 'occurs 2 times; send it once'],
    [['', 'b'], 'occurs 2 times; send it once'],
  ] as const)('Idempotency-Key %j is explained', async ([value, detail], { gateway, sandbox }) => {
    const { status, json } = await gateway.request(`${chat}/messages`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': typeof value === 'string' ? Buffer.from(value).toString('latin1') : [...value],
      },
      body: '{"message":"Hello"}',
    })

    expect(status).toBe(400)
    expect(json.errors).toEqual([{ in: 'header', pointer: '/idempotency-key', detail: expect.any(String) }])
    if (value !== 'ké') expect(json.errors[0].detail).toBe(detail)
    expect(sandbox.calls).toEqual([])
  })

  test('comes after the key and its rights', async ({ start }) => {
    const gateway = await start({
      callers: { few: { key: 'few-key-0123456789012345', scopes: ['messages:read'], chats: ['telegram/7/*'] } },
    })

    const noKey = await gateway.request('/channels?x=1', { key: null })
    const noScope = await gateway.request('/channels?x=1', { key: 'few-key-0123456789012345' })
    const noChat = await gateway.request('/chats/telegram/8/a%2Cb/messages', { key: 'few-key-0123456789012345' })

    expect([noKey, noScope, noChat].map(({ status }) => status)).toEqual([401, 403, 403])
  })

  test('is none on a public route', async ({ gateway }) => {
    const replies = await Promise.all(
      ['/health/live?probe=1', '/problems/not-found?utm=1', '/openapi.json?x=1'].map(path => gateway.request(path, { key: null })),
    )

    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200])
  })
})

describe('A refused body', () => {
  test.for([
    ['messages', {}, '/message', 'is missing'],
    ['messages', { message: 5 }, '/message', 'is 5; expected a string that is not empty'],
    ['messages', { message: -(2 ** 53) }, '/message', 'is a very large number; expected a string that is not empty'],
    ['messages', { message: null }, '/message', 'is null; expected a string that is not empty'],
    ['messages', { message: ['secret text'] }, '/message', 'is a list; expected a string that is not empty'],
    ['messages', { message: '' }, '/message', 'is empty; expected a string that is not empty'],
    ['messages', { message: '\ud800' }, '/message', 'contains half of a surrogate pair, which UTF-8 cannot carry'],
    ['messages', { message: 'Hi', sendAt: 'tomorrow' }, '/sendAt', 'is not a time; expected one of RFC 3339, such as 2026-01-31T09:30:00Z'],
    ['messages', { message: 'Hi', text: 'x' }, '/text', 'is not known; the known properties are message, reference, sendAt, expiresAt'],
    [
      'messages',
      { message: 'Hi', 'a/b~c': 'x' },
      '/a~1b~0c',
      'is not known; the known properties are message, reference, sendAt, expiresAt',
    ],
    [
      'messages',
      { message: 'Hi', reference: 'r'.repeat(129) },
      '/reference',
      'is 129 characters long; expected a string of 0 to 128 characters',
    ],
    [
      'files',
      { type: 'pdf', fileUrl: 'https://example.com/a' },
      '/type',
      'is "pdf"; expected one of image, video, audio, voice, document, contact',
    ],
    [
      'files',
      { type: 'image', fileUrl: 'https://example.com/my menu.jpg' },
      '/fileUrl',
      'contains a blank at position 23; percent-encode it',
    ],
    [
      'files',
      { type: 'image', fileUrl: 'https://example.com/😀\u00a0.jpg' },
      '/fileUrl',
      'contains a blank at position 22; percent-encode it',
    ],
    ['files', { type: 'image', fileUrl: 'https://example.com\\a' }, '/fileUrl', 'contains a backslash at position 20; percent-encode it'],
    ['files', { type: 'image', fileUrl: '/menu.jpg' }, '/fileUrl', 'is not an absolute URL; it begins with http:// or https://'],
    ['files', { type: 'image', fileUrl: 'ftp://example.com/a' }, '/fileUrl', 'has the scheme ftp; only http and https are allowed'],
    [
      'files',
      { type: 'image', fileUrl: 'https:example.com' },
      '/fileUrl',
      'is not a URL with a valid host, such as https://example.com/menu.jpg',
    ],
    [
      'files',
      { type: 'image', fileUrl: 'https://user:word@example.com/' },
      '/fileUrl',
      'contains credentials before the host; remove them',
    ],
    [
      'files',
      { type: 'image', fileUrl: 'http://10.0.0.1/a' },
      '/fileUrl',
      'points to a private or loopback address, which Afilnet cannot reach; use a public one',
    ],
    [
      'files',
      { type: 'image', fileUrl: 'https://example.com/', thumbUrl: '' },
      '/thumbUrl',
      'is empty; expected a string of 1 to 8192 characters',
    ],
  ] as const)('of %s, %j is explained', async ([resource, body, pointer, detail], { gateway, sandbox }) => {
    const { status, json } = await gateway.post(`${chat}/${resource}`, body)

    expect({ status, errors: json.errors }).toEqual({ status: 400, errors: [{ pointer, detail }] })
    expect(json.detail).toBe(`In the body, ${pointer} ${detail}.`)
    expect(sandbox.calls).toEqual([])
  })

  test.for([
    ['', 'The body is empty; expected a JSON object.'],
    ['[]', 'The body is a list; expected a JSON object.'],
    ['null', 'The body is null; expected a JSON object.'],
    ['{"message":"a\nb"}', 'The body is not valid JSON: a string contains a raw line break; write \\n (line 1, column 14).'],
    ['{"message":"a","message":"b"}', 'The body is not valid JSON: a key occurs twice in one object (line 1, column 16).'],
    ['message=Hello', 'The body is not valid JSON: unexpected text (line 1, column 1).'],
    ['{"message":"a"', 'The body is not valid JSON: the text ends too early (line 1, column 15).'],
    ['\ufeff{"message":"a"}', 'The body begins with a byte order mark; leave it out.'],
    ['{"__proto__":{}}', 'The body contains the key __proto__ or constructor.prototype, which is not allowed.'],
  ] as const)('%j is explained', async ([body, detail], { gateway }) => {
    const { status, json } = await gateway.request(`${chat}/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })

    expect({ status, detail: json.detail, errors: json.errors }).toEqual({ status: 400, detail, errors: undefined })
  })

  test.for(['messages', 'files'])('is missing where %s get none', async (resource, { gateway }) => {
    const { status, json } = await gateway.request(`${chat}/${resource}`, { method: 'POST' })

    expect({ status, detail: json.detail }).toEqual({ status: 400, detail: expect.stringMatching(/^The body is missing[;.]/) })
  })

  test.for([
    [{}, 415, 'The body has no header Content-Type; send application/json.'],
    [{ 'content-type': 'text/plain' }, 415, 'The header Content-Type does not say application/json.'],
    [{ 'content-type': 'application/json', 'content-encoding': 'br' }, 415, 'The body has a Content-Encoding; send it without one.'],
  ] as const)('with %j is explained', async ([headers, status, detail], { gateway }) => {
    const reply = await gateway.request(`${chat}/messages`, { method: 'POST', headers, body: '{"message":"a"}' })

    expect(reply).toMatchObject({ status, json: { detail } })
  })

  test.for([
    [
      '/tokens',
      { chat: { platform: 'whatsapp', platformId: '1', destination: '34600000000' }, scopes: [] },
      'In the body, /scopes has 0 items; expected 1 to 10.',
    ],
    ['/tokens', { chat: 'x', scopes: 'messages:read' }, 'In the body, /chat is "x"; expected an object.'],
    ['/webhooks/crm/redrive', {}, 'The body has 0 properties; expected exactly 1 of after, failed.'],
    ['/webhooks/crm/redrive', { after: '0', failed: true }, 'The body has 2 properties; expected exactly 1 of after, failed.'],
    ['/webhooks/crm/redrive', { failed: false }, 'In the body, /failed is false; expected true.'],
  ] as const)('for %s, %j, is explained', async ([path, body, detail], { gateway }) => {
    expect(await gateway.post(path, body)).toMatchObject({ status: 400, json: { detail } })
  })

  test.for(['/sends?reference=%zz', '/sends?reference=%ff', '/events?after=%', `${chat}/messages?limit=%1`])(
    'is none where the query cannot be decoded, as in %s, which is refused',
    async (path, { gateway }) => {
      const { status, json } = await gateway.get(path)

      expect(status).toBe(400)
      expect(json.detail).toMatch(/^The query contains a percent sign .* write a percent sign as %25\.$/)
    },
  )

  test('that is too large, and a URL that cannot be decoded, are explained', async ({ gateway }) => {
    const large = await gateway.post(`${chat}/messages`, { message: 'x'.repeat(70_000) })
    const url = await gateway.get('/channels/%zz')

    expect(large.json.detail).toBe('The body has 70014 bytes; the gateway accepts 65,536.')
    expect(url.json.detail).toContain('write a percent sign as %25')
  })

  test('may have a URL of 8,192 characters', async ({ gateway, sandbox }) => {
    const fileUrl = `https://example.com/${'a'.repeat(8_172)}`

    const reply = await gateway.post(`${chat}/files`, { type: 'image', fileUrl })
    const longer = await gateway.post(`${chat}/files`, { type: 'image', fileUrl: `${fileUrl}a` })

    expect([reply.status, longer.status]).toEqual([201, 400])
    expect(sandbox.sent.map(sent => sent.fileurl)).toEqual([fileUrl])
  })
})
