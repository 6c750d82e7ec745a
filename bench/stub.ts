import { createServer, type Socket } from 'node:net'
import { account, conversations, listAround, refused, sameInARow, stampOf, taken } from './answers.ts'
import { begin, chatOf, chatsOf, end, messagesOf } from './conversations.ts'

// Afilnet as a bare socket that writes prepared text: cheaper than every target, and it looks at what it gets.

const lateMs = 20
const required = ['class=chat', `user=${encodeURIComponent(account.user)}`, `password=${account.password}`]
const late = `destination=${conversations.late}`
const form = /content-type: *application\/x-www-form-urlencoded/i
const contentLength = /content-length: *(\d+)/i

const head = (length: number, status = '200 OK') =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
const fixed = (body: string, status?: string) => head(body.length, status) + body
const missing = fixed(refused('CHAT_NOT_FOUND'))
const success = fixed(taken)
const wrongCall = fixed(refused('INCORRECT_METHOD'), '400 Bad Request')

type Conversation = { before: string; after: string; calls: number }
const known = new Map<string, Conversation>()
const counts = { calls: 0, wrong: 0, polls: {} as Record<string, number> }
/** By how many milliseconds sends came after the time in their text; a long list begins anew when it is asked for. */
let delays: number[] = []

function open(destination: string): Conversation {
  const [start, after] = listAround(destination)
  const before = head(start.length + stampOf(0).length + after.length) + start
  const conversation = { before, after, calls: Number(destination.slice(-6)) % sameInARow } // they do not all change at one time
  known.set(destination, conversation)
  return conversation
}

function list(destination: string) {
  if (destination.startsWith(conversations.missing)) return missing
  const conversation = known.get(destination) ?? open(destination)
  const calls = conversation.calls++
  const stamp = destination.startsWith(conversations.changing) ? counts.calls : Math.floor(calls / sameInARow)
  return conversation.before + stampOf(stamp) + conversation.after
}

function chats(request: string, bodyAt: number) {
  const channel = /platformid=(\w+)/.exec(request.slice(bodyAt))?.[1] ?? ''
  counts.polls[channel] = (counts.polls[channel] ?? 0) + 1
  return fixed(chatsOf(channel))
}

/** What the benchmark itself asks. */
function answerToMe(path: string) {
  if (path === '/begin') begin()
  if (path === '/end') end()
  const answer = path === '/delays' ? delays : counts
  const text = fixed(JSON.stringify(answer))
  if (path === '/delays') delays = []
  return text
}

function answerTo(request: string, bodyAt: number) {
  if (request.startsWith('GET ')) return answerToMe(request.slice(4, request.indexOf(' ', 4)))
  counts.calls++
  const has = (part: string) => request.indexOf(part, bodyAt) !== -1
  const destinationAt = request.indexOf('destination=', bodyAt) + 'destination='.length
  if (request.startsWith('POST ') && form.test(request) && required.every(has) && destinationAt > bodyAt) {
    const end = request.indexOf('&', destinationAt)
    const destination = request.slice(destinationAt, end === -1 ? undefined : end)
    if (has('method=getmessages')) {
      const chat = chatOf(destination)
      return chat ? fixed(messagesOf(chat)) : list(destination)
    }
    if (has('method=sendmessage') && has('message=')) {
      const due = /message=due\+(\d+)/.exec(request)
      if (due) delays.push(Date.now() - Number(due[1]))
      return success
    }
  }
  if (has('method=getchats') && required.every(has)) return chats(request, bodyAt)
  counts.wrong++
  return wrongCall
}

function serve(socket: Socket) {
  let waiting = ''
  socket.setNoDelay(true)
  socket.setEncoding('latin1')
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: string) => {
    waiting += chunk
    for (;;) {
      const headEnd = waiting.indexOf('\r\n\r\n')
      if (headEnd === -1) return
      const end = headEnd + 4 + Number(contentLength.exec(waiting)?.[1] ?? 0)
      if (waiting.length < end) return
      const request = waiting.slice(0, end)
      waiting = waiting.slice(end)
      const answer = answerTo(request, headEnd + 4)
      if (request.includes(late, headEnd)) setTimeout(() => socket.write(answer, 'latin1'), lateMs)
      else socket.write(answer, 'latin1')
    }
  })
}

createServer(serve).listen(Number(process.argv[2]), '127.0.0.1')
