import type { LedgerClock } from '../clock.ts'
import type { MediaLedger, MediaRow } from '../media.ts'
import type { Reply } from './connection.ts'
import { grow, read, type Script, write } from './lua.ts'
import type { Session } from './session.ts'

const pageRows = 1_000

/** `media:<id>` is a file, `mediatoken:<token>` its id; `media` has all ids, `mediauntil` when they expire, `mediabytes` the sum of their bytes. */
const scripts = {
  add: grow(`
    local id, token, bytes, expiresAt, row, maxBytes = ARGV[9], ARGV[10], tonumber(ARGV[11]), ARGV[12], ARGV[13], tonumber(ARGV[14])
    local used = tonumber(redis.call('GET', P .. 'mediabytes') or 0)
    if maxBytes and used + bytes > maxBytes then return {over(), 0} end
    if redis.call('EXISTS', P .. 'media:' .. id) == 1 then return {over(), 0} end
    redis.call('HSET', P .. 'media:' .. id, 'row', row, 'token', token, 'bytes', bytes, 'expiresAt', expiresAt)
    redis.call('SET', P .. 'mediatoken:' .. token, id)
    redis.call('ZADD', P .. 'media', 0, id)
    redis.call('ZADD', P .. 'mediauntil', expiresAt, id)
    redis.call('INCRBY', P .. 'mediabytes', bytes)
    return {over(), 1}`),

  keep: write(`
    for i = 10, #ARGV do
      local at = P .. 'media:' .. ARGV[i]
      local expiresAt = redis.call('HGET', at, 'expiresAt')
      if expiresAt and tonumber(expiresAt) < tonumber(ARGV[9]) then
        redis.call('HSET', at, 'expiresAt', ARGV[9])
        redis.call('ZADD', P .. 'mediauntil', ARGV[9], ARGV[i])
      end
    end
    return {over()}`),

  remove: write(`
    for i = 9, #ARGV do
      local at = P .. 'media:' .. ARGV[i]
      local token, bytes = redis.call('HGET', at, 'token'), redis.call('HGET', at, 'bytes')
      if token then
        redis.call('DEL', at, P .. 'mediatoken:' .. token)
        redis.call('ZREM', P .. 'media', ARGV[i])
        redis.call('ZREM', P .. 'mediauntil', ARGV[i])
        redis.call('DECRBY', P .. 'mediabytes', bytes)
      end
    end
    return {over()}`),

  find: read(`
    local at = P .. 'media:' .. ARGV[9]
    return {redis.call('HGET', at, 'row') or '', redis.call('HGET', at, 'expiresAt') or ''}`),

  findByToken: read(`
    local at = P .. 'media:' .. (redis.call('GET', P .. 'mediatoken:' .. ARGV[9]) or '')
    return {redis.call('HGET', at, 'row') or '', redis.call('HGET', at, 'expiresAt') or ''}`),

  expired: read(`return redis.call('ZRANGEBYSCORE', P .. 'mediauntil', '-inf', ARGV[9], 'LIMIT', 0, ${pageRows})`),

  usage: read(`return {redis.call('ZCARD', P .. 'media'), tonumber(redis.call('GET', P .. 'mediabytes') or 0)}`),

  dump: read(`
    local from, rows = ARGV[9] == '' and '-' or '(' .. ARGV[9], {}
    for _, id in ipairs(redis.call('ZRANGE', P .. 'media', from, '+', 'BYLEX', 'LIMIT', 0, ${pageRows})) do
      local at = P .. 'media:' .. id
      rows[#rows + 1] = redis.call('HGET', at, 'row')
      rows[#rows + 1] = redis.call('HGET', at, 'expiresAt')
    end
    return rows`),
} as const satisfies Record<string, Script>

/** The files of a ledger on a server; a failure of theirs says nothing of the ledger. */
export function createMediaLedger(session: Session, clock: LedgerClock): MediaLedger {
  const { read, writeBeside: write } = session
  async function add(row: MediaRow, maxBytes: number | '') {
    const { expiresAt, ...rest } = row
    const [added] = await write(scripts.add, row.id, row.token, row.bytes, expiresAt, JSON.stringify(rest), maxBytes)
    return added === 1
  }
  async function found(script: Script, value: string) {
    const [row = '', expiresAt = ''] = (await read(script, value)) as string[]
    return row !== '' && Number(expiresAt) > clock.trusted() ? rowOf(row, expiresAt) : undefined
  }
  return {
    add,
    find: id => found(scripts.find, id),
    findByToken: token => found(scripts.findByToken, token),
    async keepUntil(ids, until) {
      await write(scripts.keep, Math.ceil(until), ...ids)
    },
    async remove(ids) {
      await write(scripts.remove, ...ids)
    },
    expired: async () => (clock.steady() ? ((await read(scripts.expired, Math.floor(clock.trusted()))) as string[]) : []),
    async usage() {
      const [files, bytes] = (await read(scripts.usage)) as Reply[]
      return { files: Number(files), bytes: Number(bytes) }
    },
    async dump(after = '') {
      const flat = (await read(scripts.dump, after)) as string[]
      return flat.flatMap((row, n) => (n % 2 === 0 ? [rowOf(row, flat[n + 1] ?? '')] : []))
    },
    load: row => add(row, ''),
  }
}

const rowOf = (row: string, expiresAt: string): MediaRow => ({ ...(JSON.parse(row) as MediaRow), expiresAt: Number(expiresAt) }) // as `add` wrote it
