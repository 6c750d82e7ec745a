import type { LedgerClock } from '../clock.ts'
import type { MediaLedger, MediaRow } from '../media.ts'
import type { Reply } from './connection.ts'
import { grow, read, type Script, write } from './lua.ts'
import type { Session } from './session.ts'

const pageRows = 1_000

const sharing = `
    local function share(id)
      local sendId = redis.call('HGET', P .. 'media:' .. id, 'sendId')
      if not sendId or sendId == '' then return end
      redis.call('SREM', P .. 'mediaof:' .. sendId, id)
      redis.call('HSET', P .. 'media:' .. id, 'sendId', '') -- HDEL is a right that only events need
    end`

const removing = `
    local function remove(id)
      local at = P .. 'media:' .. id
      local token, bytes = redis.call('HGET', at, 'token'), redis.call('HGET', at, 'bytes')
      if not token then return end
      share(id)
      redis.call('DEL', at, P .. 'mediatoken:' .. token)
      redis.call('ZREM', P .. 'media', id)
      redis.call('ZREM', P .. 'mediauntil', id)
      redis.call('DECRBY', P .. 'mediabytes', bytes)
    end`

/** A file as its members are kept: those that change lie beside the text of the others. */
const members = (at: string) =>
  `redis.call('HGET', ${at}, 'row') or '', redis.call('HGET', ${at}, 'expiresAt') or '', redis.call('HGET', ${at}, 'sendId') or ''`

/** `media:<id>` is a file, `mediatoken:<token>` its id, `mediaof:<sendId>` the ids of those that came with a send; `media` has all ids, `mediauntil` when they expire, `mediabytes` the sum of their bytes. */
const scripts = {
  add: grow(`
    local id, token, bytes, expiresAt, row, maxBytes = ARGV[9], ARGV[10], tonumber(ARGV[11]), ARGV[12], ARGV[13], tonumber(ARGV[14])
    local sendId = ARGV[15]
    local used = tonumber(redis.call('GET', P .. 'mediabytes') or 0)
    if maxBytes and used + bytes > maxBytes then return {over(), 0} end
    if redis.call('EXISTS', P .. 'media:' .. id) == 1 then return {over(), 0} end
    redis.call('HSET', P .. 'media:' .. id, 'row', row, 'token', token, 'bytes', bytes, 'expiresAt', expiresAt)
    redis.call('SET', P .. 'mediatoken:' .. token, id)
    redis.call('ZADD', P .. 'media', 0, id)
    redis.call('ZADD', P .. 'mediauntil', expiresAt, id)
    redis.call('INCRBY', P .. 'mediabytes', bytes)
    if sendId ~= '' then
      redis.call('HSET', P .. 'media:' .. id, 'sendId', sendId)
      redis.call('SADD', P .. 'mediaof:' .. sendId, id)
    end
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

  share: write(`${sharing}
    share(ARGV[9])
    return {over(), redis.call('EXISTS', P .. 'media:' .. ARGV[9])}`),

  removeOf: write(`${sharing}${removing}
    local ids = redis.call('SMEMBERS', P .. 'mediaof:' .. ARGV[9])
    for _, id in ipairs(ids) do remove(id) end
    redis.call('DEL', P .. 'mediaof:' .. ARGV[9]) -- an older release leaves the ids of files that it removes
    return {over(), ids}`),

  remove: write(`${sharing}${removing}
    for i = 9, #ARGV do remove(ARGV[i]) end
    return {over()}`),

  find: read(`
    local at = P .. 'media:' .. ARGV[9]
    return {${members('at')}}`),

  findByToken: read(`
    local at = P .. 'media:' .. (redis.call('GET', P .. 'mediatoken:' .. ARGV[9]) or '')
    return {${members('at')}}`),

  expired: read(`return redis.call('ZRANGEBYSCORE', P .. 'mediauntil', '-inf', ARGV[9], 'LIMIT', 0, ${pageRows})`),

  usage: read(`return {redis.call('ZCARD', P .. 'media'), tonumber(redis.call('GET', P .. 'mediabytes') or 0)}`),

  dump: read(`
    local from, rows = ARGV[9] == '' and '-' or '(' .. ARGV[9], {}
    for _, id in ipairs(redis.call('ZRANGE', P .. 'media', from, '+', 'BYLEX', 'LIMIT', 0, ${pageRows})) do
      local at = P .. 'media:' .. id
      rows[#rows + 1] = {${members('at')}}
    end
    return rows`),
} as const satisfies Record<string, Script>

/** The files of a ledger on a server; a failure of theirs says nothing of the ledger. */
export function createMediaLedger(session: Session, clock: LedgerClock): MediaLedger {
  const { read, writeBeside: write } = session
  async function add(row: MediaRow, maxBytes: number | '') {
    const { expiresAt, sendId = '', ...rest } = row
    const [added] = await write(scripts.add, row.id, row.token, row.bytes, expiresAt, JSON.stringify(rest), maxBytes, sendId)
    return added === 1
  }
  async function found(script: Script, value: string) {
    const flat = (await read(script, value)) as Flat
    return flat[0] !== '' && Number(flat[1]) > clock.read().trusted ? rowOf(flat) : undefined
  }
  return {
    add,
    find: id => found(scripts.find, id),
    findByToken: token => found(scripts.findByToken, token),
    async keepUntil(ids, until) {
      await write(scripts.keep, Math.ceil(until), ...ids)
    },
    async share(id) {
      const [isThere] = await write(scripts.share, id)
      return isThere === 1
    },
    async removeOf(sendId) {
      const [ids] = await write(scripts.removeOf, sendId)
      return ids as string[]
    },
    async remove(ids) {
      await write(scripts.remove, ...ids)
    },
    async expired() {
      const { mayDelete, trusted } = clock.read()
      return mayDelete ? ((await read(scripts.expired, trusted)) as string[]) : []
    },
    async usage() {
      const [files, bytes] = (await read(scripts.usage)) as Reply[]
      return { files: Number(files), bytes: Number(bytes) }
    },
    async dump(after = '') {
      return ((await read(scripts.dump, after)) as Flat[]).filter(([row]) => row !== '').map(rowOf)
    },
    load: row => add(row, ''),
  }
}

type Flat = [row: string, expiresAt: string, sendId: string]

/** As `add` wrote it. */
const rowOf = ([row, expiresAt, sendId]: Flat): MediaRow => ({
  ...(JSON.parse(row) as MediaRow),
  expiresAt: Number(expiresAt),
  ...(sendId !== '' && { sendId }),
})
