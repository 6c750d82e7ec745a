import * as chat from '../../src/afilnet/operations.ts'

/** One documented call: what goes out, what may come back, and what is made of it. */
export type Transcript = {
  operation: (typeof chat.operations)[number]
  params: Record<string, string>
  /** The parameters as they stand in a form or a query, behind class, method and, where they belong there, user and password. */
  form: string
  answer: string
  rows: Record<string, unknown>[]
  /** The documented fields of each row of `result.list`. */
  fields: string[]
}

export const account = { user: 'demo@sandbox.invalid', password: 'fake-sandbox-password' }
export const credentials = 'user=demo%40sandbox.invalid&password=fake-sandbox-password'
export const authorization = 'Basic ZGVtb0BzYW5kYm94LmludmFsaWQ6ZmFrZS1zYW5kYm94LXBhc3N3b3Jk'

const conversation = { platform: 'whatsapp', platformid: '100', destination: '34600000000' }
const conversationForm = 'platform=whatsapp&platformid=100&destination=34600000000'
const messageFields = ['platformid', 'platform', 'message', 'destination', 'messageid', 'sent', 'status', 'datetime']
const incoming = '"platformid":100,"platform":"whatsapp","message":"Hola","destination":"34600000000","messageid":1001'
const rest = '"status":"READ","datetime":"2026-01-31 09:30:00"'
const read = {
  ...conversation,
  message: 'Hola',
  messageid: '1001',
  sent: false,
  status: 'READ',
  datetime: '2026-01-31 09:30:00',
}

/** The six operations with the values of the vendor's manual, in the forms that `upstream.md` gives for requests and answers. */
export const transcripts: Transcript[] = [
  {
    operation: chat.getChatChannels,
    params: {},
    form: '',
    answer: '{"status":"SUCCESS","result":{"list":[{"platformid":"100","platform":"whatsapp","name":"Support"}]}}',
    rows: [{ platformid: '100', platform: 'whatsapp', name: 'Support' }],
    fields: ['platformid', 'platform', 'name'],
  },
  {
    operation: chat.sendMessage,
    params: { ...conversation, message: 'Hello, how are you? ñ & €' },
    form: `${conversationForm}&message=Hello%2C+how+are+you%3F+%C3%B1+%26+%E2%82%AC`,
    answer: '{"status":"SUCCESS","result":[]}',
    rows: [],
    fields: [],
  },
  {
    operation: chat.sendFile,
    params: {
      ...conversation,
      type: 'image',
      fileurl: 'https://www.example.com/image.jpg?size=1&name=a%20b',
      thumburl: 'https://www.example.com/thumb.jpg',
      message: 'Our menu',
    },
    form: [
      conversationForm,
      'type=image',
      'fileurl=https%3A%2F%2Fwww.example.com%2Fimage.jpg%3Fsize%3D1%26name%3Da%2520b',
      'thumburl=https%3A%2F%2Fwww.example.com%2Fthumb.jpg',
      'message=Our+menu',
    ].join('&'),
    answer: '{"status":"SUCCESS"}',
    rows: [],
    fields: [],
  },
  {
    operation: chat.getChats,
    params: { platform: 'whatsapp', platformid: '100' },
    form: 'platform=whatsapp&platformid=100',
    answer: `{"status":"SUCCESS","result":{"list":[{${incoming},"sent":0,${rest}}]}}`,
    rows: [read],
    fields: messageFields,
  },
  {
    operation: chat.getMessages,
    params: conversation,
    form: conversationForm,
    answer: `{"status":"SUCCESS","result":{"list":[{${incoming},"sent":"0",${rest}},{${incoming},"sent":"1",${rest}}]}}`,
    rows: [read, { ...read, sent: true }],
    fields: messageFields,
  },
  {
    operation: chat.getUnreadMessages,
    params: conversation,
    form: conversationForm,
    answer: `{"status":"SUCCESS","result":{"list":[{${incoming},"issent":false,${rest}}]}}`,
    rows: [read],
    fields: messageFields.map(field => (field === 'sent' ? 'issent' : field)),
  },
]

/** The whole form of a transcript: the parts that are there, joined. */
export const formOf = ({ operation, form }: Transcript, withAccount: boolean) =>
  ['class=chat', `method=${operation.method}`, withAccount ? credentials : '', form].filter(Boolean).join('&')
