import { Agent } from 'node:http'
import axios from 'axios'
import express, { type NextFunction, type Request, type Response } from 'express'
import { formOf, invalid, messagesIn, open, port, Refusal, readChat, readText, requireKey, sendOf, upstream } from './contract.ts'

// Express and axios: what a team writes first, with kept connections.

const afilnet = axios.create({ baseURL: upstream.href, httpAgent: new Agent({ keepAlive: true }), timeout: 10_000 })
const ask = async (method: string, params: Record<string, string>) => (await afilnet.post('', formOf(method, params))).data

const app = express()
app.use((request, _response, next) => {
  requireKey(request.headers.authorization)
  next()
})
app.use(express.json())

app
  .route('/chats/:platform/:platformId/:destination/messages')
  .get(async ({ params }, response) => {
    response.json(messagesIn(await ask('getmessages', readChat(params))))
  })
  .post(async ({ params, body }, response) => {
    const chat = readChat(params)
    open(await ask('sendmessage', { ...chat, message: readText(body) }))
    response.status(201).json(sendOf(chat))
  })

app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
  const malformed = error instanceof Error && 'type' in error && error.type === 'entity.parse.failed'
  const { status, code } = error instanceof Refusal ? error : malformed ? invalid : { status: 502, code: 'upstream-error' }
  response.status(status).type('application/problem+json').send(JSON.stringify({ status, code }))
})

app.listen(port, '127.0.0.1')
