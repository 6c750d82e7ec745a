import { describe, expect } from 'vitest'
import { sharedTest as test } from '../gateway.ts'

const files = '/chats/whatsapp/100/34600000000/files'
const image = { type: 'image', fileUrl: 'https://example.com/menu.jpg' }

const badUrls = [
  ['nothing', ''],
  ['a relative one', '/menu.jpg'],
  ['one without a scheme', 'example.com/menu.jpg'],
  ['one without slashes', 'https:example.com'],
  ['another scheme', 'ftp://example.com/menu.jpg'],
  ['a data URL', 'data:image/png;base64,AAAA'],
  ['a script', 'javascript:alert(1)'],
  ['no host', 'https://'],
  ['a user', 'https://user@example.com/menu.jpg'],
  ['a user and a password', 'https://user:password@example.com/menu.jpg'],
  ['an empty user', 'https://@example.com/menu.jpg'],
  ['a short loopback address', 'http://127.1/menu.jpg'],
  ['a loopback address as a number', 'http://2130706433/menu.jpg'],
  ['a loopback address in octal', 'http://0177.0.0.1/menu.jpg'],
  ['a loopback address in wide digits', 'http://１２７.0.0.1/menu.jpg'],
  ['a loopback address of version 6', 'http://[::1]/menu.jpg'],
  ['a loopback address of version 4 in version 6', 'http://[::ffff:127.0.0.1]/menu.jpg'],
  ['localhost', 'http://localhost/menu.jpg'],
  ['localhost with a dot', 'http://LOCALHOST./menu.jpg'],
  ['a name below localhost', 'http://a.localhost/menu.jpg'],
  ['a private address', 'http://10.0.0.1/menu.jpg'],
  ['another private address', 'https://192.168.1.1/menu.jpg'],
  ['a third private address', 'https://172.31.255.255/menu.jpg'],
  ['a link-local address', 'http://169.254.169.254/latest/meta-data'],
  ['a private address of version 6', 'http://[fd00::1]/menu.jpg'],
  ['the unspecified address', 'http://0.0.0.0/menu.jpg'],
  ['a backslash', 'https://example.com\\menu.jpg'],
  ['no host', 'https:///menu.jpg'],
  ['a blank', 'https://example.com/a menu.jpg'],
  ['a blank at its end', 'https://example.com/menu.jpg '],
  ['a line break', 'https://example.com/\nmenu.jpg'],
  ['a null byte', 'https://example.com/\0menu.jpg'],
  ['half a surrogate pair', 'https://example.com/\ud800'],
  ['8,193 characters', `https://example.com/${'a'.repeat(8_173)}`],
] as const

const goodUrls = [
  'https://example.com/menu.jpg',
  'http://example.com',
  'HTTPS://EXAMPLE.COM/Menu.JPG',
  'https://example.com:8443/a/../b?x=1&y=%20&password=x#top',
  'https://ejemplo.es/menú/ñ.jpg?q=👩',
  'https://8.8.8.8/menu.jpg',
  'https://172.32.0.1/menu.jpg',
  'https://[2606:4700::1111]/menu.jpg',
  'https://localhost.example.com/menu.jpg',
  'https://example.com/at/@user',
  `https://example.com/${'a'.repeat(2_028)}`,
]

describe('POST /chats/{platform}/{platformId}/{destination}/files', () => {
  test('hands the file to Afilnet once', async ({ gateway, sandbox }) => {
    const file = { ...image, thumbUrl: 'https://example.com/small.jpg', message: 'Our menu', reference: 'order-4711' }

    const reply = await gateway.post(files, file)

    expect(reply).toMatchObject({
      status: 201,
      json: { kind: 'file', destination: '34600000000', state: 'accepted', reference: 'order-4711' },
    })
    expect(sandbox.sent).toMatchObject([
      {
        method: 'sendfile',
        type: 'image',
        fileurl: 'https://example.com/menu.jpg',
        thumburl: 'https://example.com/small.jpg',
        message: 'Our menu',
      },
    ])
  })

  test.for(goodUrls)('passes %s byte for byte', async (url, { gateway, sandbox }) => {
    const reply = await gateway.post(files, { ...image, fileUrl: url, thumbUrl: url })

    expect(reply.status).toBe(201)
    expect(sandbox.sent).toMatchObject([{ fileurl: url, thumburl: url }])
  })

  test.for(badUrls)('refuses %s as a URL', async ([, url], { gateway, sandbox }) => {
    for (const [member, pointer] of [
      ['fileUrl', '/fileUrl'],
      ['thumbUrl', '/thumbUrl'],
    ] as const) {
      const reply = await gateway.post(files, { ...image, [member]: url })

      expect(reply, member).toMatchObject({ status: 400, json: { code: 'invalid-request', errors: [{ pointer }] } })
      if (url.length > 10) expect(reply.text).not.toContain(JSON.stringify(url).slice(1, -1))
    }
    expect(sandbox.calls).toEqual([])
  })

  test.for([
    ['no type', { fileUrl: image.fileUrl }, '/type'],
    ['an unknown type', { ...image, type: 'gif' }, '/type'],
    ['a type in capitals', { ...image, type: 'IMAGE' }, '/type'],
    ['no URL', { type: 'image' }, '/fileUrl'],
    ['a number for a URL', { ...image, fileUrl: 1 }, '/fileUrl'],
    ['null for a thumbnail', { ...image, thumbUrl: null }, '/thumbUrl'],
    ['a number for a message', { ...image, message: 1 }, '/message'],
    ['half a surrogate pair in its message', { ...image, message: '\ud800' }, '/message'],
    ['a member in the words of Afilnet', { ...image, fileurl: image.fileUrl }, '/fileurl'],
  ] as const)('refuses %s', async ([, body, pointer], { gateway, sandbox }) => {
    const reply = await gateway.post(files, body)

    expect(reply).toMatchObject({ status: 400, json: { code: 'invalid-request', errors: [{ pointer }] } })
    expect(sandbox.calls).toEqual([])
  })
})
