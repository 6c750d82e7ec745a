import type { ScriptedResponse } from '../../src/sandbox/scripted-responses.ts'

export type Failure = readonly [status: number, code: string]

export const lost: Failure = [502, 'upstream-connection-lost']
const invalid: Failure = [502, 'upstream-invalid-response']
const failed: Failure = [502, 'upstream-error']
const redirected: Failure = [502, 'upstream-redirect']
const tooLarge: Failure = [502, 'upstream-response-too-large']

/** Answers that are no result, and what callers get for them. */
export const answersThatFail: readonly [name: string, answer: ScriptedResponse, failure: Failure][] = [
  ['a closed connection', { fault: 'drop' }, lost],
  ['a reset connection', { fault: 'reset' }, lost],
  ['a truncated answer', { fault: 'truncated' }, invalid],
  ['two lengths', { fault: 'two-lengths' }, invalid],
  ['headers without an end', { headers: { 'x-long': 'a'.repeat(60_000) } }, invalid],
  ['another protocol', { fault: 'ssh' }, invalid],
  ['a page', { fault: 'html' }, invalid],
  ['nothing', { fault: 'empty' }, invalid],
  ['a gzip bomb', { fault: 'gzip-bomb' }, tooLarge],
  ['an answer without an end', { fault: 'endless' }, tooLarge],
  ['[]', { body: '[]' }, invalid],
  ['null', { body: 'null' }, invalid],
  ['a text', { body: '"SUCCESS"' }, invalid],
  ['half an object', { body: '{"status":"SUCCESS"' }, invalid],
  ['two objects', { body: '{"status":"SUCCESS"}{"status":"SUCCESS"}' }, invalid],
  ['what is not UTF-8', { body: Buffer.from('{"status":"SUCCESS","x":"\xff"}', 'latin1') }, invalid],
  ['HTTP 204', { status: 204 }, invalid],
  ['HTTP 304', { status: 304 }, redirected],
  ['HTTP 400', { status: 400 }, failed],
  ['HTTP 403', { status: 403 }, failed],
  ['HTTP 404', { status: 404, body: '{"status":"SUCCESS"}' }, failed],
  ['HTTP 500', { status: 500 }, failed],
  ['HTTP 503', { status: 503, headers: { 'retry-after': '5' } }, failed],
]
