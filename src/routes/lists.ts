import type { FastifyReply } from 'fastify'
import type { Body } from '../upstream/list-body.ts'

/** Answers with a finished list, and with its ETag if it may be kept. */
export function sendList(reply: FastifyReply, { body, etag }: Pick<Body, 'body'> & Partial<Body>) {
  if (etag !== undefined) reply.header('etag', etag)
  return reply.type('application/json; charset=utf-8').send(body)
}
