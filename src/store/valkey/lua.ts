// Longer than 200 lines, because a script runs as a whole on the server, and all of them share the functions at the top.
import { hash } from 'node:crypto'
import { uncounted } from '../counts.ts'
import { formatting } from '../destinations.ts'
import { lookAfterMs } from '../store.ts'
import { logReading, logWriting } from './event-lua.ts'
import { queueWriting } from './queue-lua.ts'

/** What all our keys begin with: a server, and even a database of it, may have other users. */
export const prefix = 'afg:'

/** Raised only by a release whose data the one before could not use; what is merely added leaves it, so that both run side by side. */
export const schemaVersion = 1

/** What a send takes on a server beside its texts, indexes included; measured with Redis 7.0. */
const rowBytes = 1_900

/** How many rows make room for a claim at once. */
const roomRows = 200

/**
 * How long a send that was given up before it was claimed may still arrive: the network may hold a claim back for minutes, until after its
 * connection was given up and another one has said that nothing is sent.
 */
export const voidMs = 3_600_000

/** A Lua script and the name under which a server keeps it. */
export type Script = { lua: string; sha: string }

/**
 * What all scripts share; their arguments begin with the caller's clock, the times of settlement up to which rows are gone, the lease, the size
 * limit, an identity for a ledger that has none, and the identity and number of claims that the caller knows.
 *
 * `send:<id>` is a row. `by:…` are its indexes: every member has score 0, so they are ordered by id. `key:…` names the row that holds a
 * key. `pending:<owner>` and `leases` are for `expireLeases`, `settled` and `unknown` for `deleteExpired`, by time, `looks:<account>` for
 * `takeLookups`. No key of the ledger expires by
 * the server's clock. The length before a caller's name keeps what follows it apart.
 */
const common = `
  local P = '${prefix}'
  local now, leaseMs, most = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local horizon = {settled = tonumber(ARGV[2]), unknown = tonumber(ARGV[3])}
  local version = tonumber(redis.call('GET', P .. 'schema') or 0)
  if version > ${schemaVersion} then return redis.error_reply('NEWERSCHEMA ' .. version) end

  local filters = {'state', 'platform', 'platformId', 'destination', 'reference', 'idempotencyKey'}
  local function at(id) return P .. 'send:' .. id end
  local function own(caller, text) return #caller .. ':' .. caller .. ':' .. text end
  local function by(name, caller, value) return P .. 'by:' .. name .. ':' .. own(caller, value) end
  local function of(caller) return P .. 'by:caller:' .. caller end
  local function holders(row)
    local key = own(row.caller, row.idempotencyKey)
    return {P .. 'key:' .. key, P .. 'key:' .. #row.account .. '@' .. row.account .. ':' .. key}
  end

  local function rowOf(flat)
    local row = {}
    for i = 1, #flat, 2 do row[flat[i]] = flat[i + 1] end
    return row
  end
  local function read(id)
    local flat = redis.call('HGETALL', at(id))
    if #flat > 0 then return rowOf(flat), flat end
  end
  local function live(row)
    if not row.settledAt then return true end
    return tonumber(row.settledAt) > (row.state == 'unknown' and horizon.unknown or horizon.settled)
  end
  local function digits(text)
    for _, character in ipairs({${[...formatting].map(character => `'${/^[ -~]$/.test(character) ? `%${character}` : character}'`).join(', ')}}) do text = string.gsub(text, character, '') end
    return text
  end
  local function spelled(row)
    if row.platform ~= 'whatsapp' or not string.find(row.destination, '[^0-9]') then return end
    local text = digits(row.destination)
    if string.find(text, '^%d+$') and #text >= 7 and #text <= 15 then return text end
  end
  local function over()
    return tonumber(redis.call('GET', P .. 'bytes') or 0) > most and 1 or 0
  end
${logReading}`

const writing = `${logWriting}
  if version == 0 then redis.call('SET', P .. 'schema', ${schemaVersion}) end

  local function mark()
    local function get(name) return redis.call('HGET', P .. 'ledger', name) end
    if not get('identity') then
      redis.call('HSET', P .. 'ledger', 'identity', ARGV[6], 'claims', 0, 'acceptance', '', 'acceptedAt', 0, 'clock', 0)
    end
    return {get('identity'), get('claims'), get('acceptance'), get('acceptedAt'), get('clock')}
  end
  local function changed(found)
    return ARGV[7] ~= '' and (found[1] ~= ARGV[7] or tonumber(found[2]) < tonumber(ARGV[8]))
  end

  local function size(row)
    local bytes = ${rowBytes}
    for name, value in pairs(row) do
      if name ~= 'state' and name ~= 'settledAt' then bytes = bytes + #value end
    end
    return bytes
  end
  local uncounted = {${uncounted.map(state => `['${state}'] = true`).join(', ')}}
  local function counted(row) return not uncounted[row.state] end
  local function dayOf(ms) return math.floor(tonumber(ms) / 86400000) end
  local function count(row, change)
    local day = dayOf(row.createdAt)
    local sends = redis.call('HINCRBY', P .. 'counts:' .. day, row.caller, change)
    if sends < 0 then redis.call('HSET', P .. 'counts:' .. day, row.caller, 0) end
    redis.call('ZADD', P .. 'days', day, day)
  end
  local function holding(row)
    for _, key in ipairs(holders(row)) do
      local id = redis.call('GET', key)
      if id then
        local existing, flat = read(id)
        if not existing then return id end
        if existing.account == row.account then return id, existing, flat end
      end
    end
  end
  local function hold(row)
    local keys = holders(row)
    redis.call('SET', redis.call('EXISTS', keys[1]) == 0 and keys[1] or keys[2], row.id)
  end
  local function unhold(row, id)
    for _, key in ipairs(holders(row)) do
      if redis.call('GET', key) == id then redis.call('DEL', key) end
    end
  end
  local function free(row)
    if row.idempotencyKey then unhold(row, row.id) end
  end
  local function spell(row)
    local text = spelled(row)
    if text then redis.call('ZADD', by('destination', row.caller, text), 0, row.id) end
  end
  local function ripen(row)
    redis.call('ZADD', P .. (row.state == 'unknown' and 'unknown' or 'settled'), row.settledAt, row.id)
  end

  local function insert(row)
    local flat = {}
    for name, value in pairs(row) do
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
    redis.call('HSET', at(row.id), unpack(flat))
    redis.call('SADD', P .. 'callers', row.caller)
    redis.call('ZADD', of(row.caller), 0, row.id)
    for _, name in ipairs(filters) do
      if row[name] then redis.call('ZADD', by(name, row.caller, row[name]), 0, row.id) end
    end
    spell(row)
    if row.idempotencyKey and row.state ~= 'not_sent' then hold(row) end
    if row.state == 'pending' then redis.call('SADD', P .. 'pending:' .. row.owner, row.id) elseif row.settledAt then ripen(row) end
    count(row, counted(row) and 1 or 0)
    redis.call('HINCRBY', P .. 'attempts:' .. dayOf(row.createdAt), row.caller, 1)
    redis.call('INCRBY', P .. 'bytes', size(row))
  end

  ${queueWriting}
  local function forgetIfGone(caller) -- or each script that visits all callers would go on visiting it
    if redis.call('EXISTS', of(caller)) == 0 then redis.call('SREM', P .. 'callers', caller) end
  end
  local function looks(row) return P .. 'looks:' .. row.account end
  local function drop(id)
    local row = read(id)
    redis.call('ZREM', P .. 'settled', id)
    redis.call('ZREM', P .. 'unknown', id)
    if not row then return end
    if row.state == 'unknown' then redis.call('ZREM', looks(row), id) end
    if row.state == 'queued' then dequeue(id) end
    free(row)
    redis.call('ZREM', of(row.caller), id)
    forgetIfGone(row.caller)
    for _, name in ipairs(filters) do
      if row[name] then redis.call('ZREM', by(name, row.caller, row[name]), id) end
    end
    local text = spelled(row)
    if text then redis.call('ZREM', by('destination', row.caller, text), id) end
    redis.call('DEL', at(id))
    redis.call('DECRBY', P .. 'bytes', size(row))
  end

  local function set(row, name, value)
    local before = row[name] or ''
    row[name] = value
    redis.call('HSET', at(row.id), name, value)
    redis.call('INCRBY', P .. 'bytes', #value - #before)
  end

  local function setState(row, to)
    redis.call('ZREM', by('state', row.caller, row.state), row.id)
    redis.call('ZADD', by('state', row.caller, to), 0, row.id)
    redis.call('HSET', at(row.id), 'state', to)
    row.state = to
  end
  local function move(row, to, settledAt, answer)
    local was = counted(row)
    if row.state == 'unknown' then redis.call('ZREM', looks(row), row.id) end
    redis.call('SREM', P .. 'pending:' .. row.owner, row.id)
    redis.call('ZREM', P .. 'unknown', row.id)
    setState(row, to)
    row.settledAt = settledAt
    redis.call('HSET', at(row.id), 'settledAt', settledAt)
    if answer then set(row, 'answer', answer) end
    if to == 'unknown' and row.kind == 'message' and row.textDigest then
      redis.call('ZADD', looks(row), settledAt + ${lookAfterMs[0]}, row.id)
    end
    ripen(row)
    if was and not counted(row) then count(row, -1) end
    if to == 'not_sent' then free(row) end
    if row.dueAt then
      redis.call('ZREM', Q('expiry'), row.id) -- the server may have evicted its entry
      dequeue(row.id)
    end
  end

  local function makeRoom()
    for _, state in ipairs({'not_sent', 'rejected'}) do
      local index, most = nil, 0
      for _, caller in ipairs(redis.call('SMEMBERS', P .. 'callers')) do
        local rows = redis.call('ZCARD', by('state', caller, state))
        if rows > most then index, most = by('state', caller, state), rows end
      end
      if index and over() == 1 then
        for _, id in ipairs(redis.call('ZRANGE', index, 0, ${roomRows - 1})) do drop(id) end
      end
    end
    if over() == 1 then
      for _, account in ipairs(redis.call('SMEMBERS', P .. 'logs')) do dropEvents(account) end
    end
  end

  local function renewLease(owner, untilMs) redis.call('ZADD', P .. 'leases', untilMs, owner) end
  local function orphan(owner, room, endedAt)
    local ids = redis.call('SRANDMEMBER', P .. 'pending:' .. owner, room)
    for _, id in ipairs(ids) do
      local row = read(id)
      if row then
        move(row, 'unknown', endedAt)
        announce(row)
      else
        redis.call('SREM', P .. 'pending:' .. owner, id)
      end
    end
    if redis.call('SCARD', P .. 'pending:' .. owner) == 0 then redis.call('ZREM', P .. 'leases', owner) end
    return #ids
  end
`

/** All callers' ids in order: each has few others beside it, so that an index over all of them would cost more than it saves. */
const paging = `
  local function page(after, rows)
    local ids = {}
    for _, caller in ipairs(redis.call('SMEMBERS', P .. 'callers')) do
      local from = after == '' and '-' or '(' .. after
      for _, id in ipairs(redis.call('ZRANGE', of(caller), from, '+', 'BYLEX', 'LIMIT', 0, rows)) do ids[#ids + 1] = id end
    end
    table.sort(ids)
    for i = #ids, rows + 1, -1 do ids[i] = nil end
    return ids
  end
`

// A shebang has the server look before it runs a script whether it may write: one that has begun does all that it says. Where a claim finds
// no memory left (noeviction), everything else may still have some: it makes room, or keeps what is known.
export const script = (flags: string, ...parts: string[]): Script => {
  const lua = [`#!lua flags=${flags}`, ...parts].join('\n')
  return { lua, sha: hash('sha1', lua) }
}
export const read = (body: string) => script('no-writes,no-cluster', common, paging, body)
export const write = (body: string) => script('allow-oom,no-cluster', common, paging, writing, body)
export const grow = (body: string) => script('no-cluster', common, writing, body)
