import { hash } from 'node:crypto'

/** What all our keys begin with: a server, and even a database of it, may have other users. */
export const prefix = 'afg:'

/** Raised only by a release whose data the one before could not use; what is merely added leaves it, so that both run side by side. */
export const schemaVersion = 1

/** What a send takes on a server beside its texts, indexes included; measured with Redis 7.0. */
const rowBytes = 1_900

/**
 * How long a send that was given up before it was claimed may still arrive: the network may hold a claim back for minutes, until after its
 * connection was given up and another one has said that nothing is sent.
 */
const voidMs = 3_600_000

/** A Lua script and the name under which a server keeps it. */
export type Script = { lua: string; sha: string }

/**
 * What all scripts share; their arguments begin with the caller's clock, the policy and the size limit.
 *
 * `send:<id>` is a row. `by:…` are its indexes: every member has score 0, so they are ordered by id. `key:…` names the row that holds a
 * key. `pending:<owner>` and `leases` are for the reaper, `settled` and `unknown` for the sweeper, by time. No key of the ledger expires by
 * the server's clock. The length before a caller's name keeps what follows it apart.
 */
const common = `
  local P = '${prefix}'
  local now, keep, keepUnknown, leaseMs, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local version = tonumber(redis.call('GET', P .. 'schema') or 0)
  if version > ${schemaVersion} then return redis.error_reply('NEWERSCHEMA ' .. version) end

  local filters = {'state', 'platform', 'platformId', 'destination', 'reference', 'idempotencyKey'}
  local function at(id) return P .. 'send:' .. id end
  local function own(caller, text) return #caller .. ':' .. caller .. ':' .. text end
  local function by(name, caller, value) return P .. 'by:' .. name .. ':' .. own(caller, value) end
  local function of(caller) return P .. 'by:caller:' .. caller end
  local function holder(row) return P .. 'key:' .. own(row.caller, row.idempotencyKey) end

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
    return tonumber(row.settledAt) > now - (row.state == 'unknown' and keepUnknown or keep)
  end
  local function over()
    return tonumber(redis.call('GET', P .. 'bytes') or 0) > most and 1 or 0
  end
`

const writing = `
  if version == 0 then redis.call('SET', P .. 'schema', ${schemaVersion}) end

  local function size(row)
    local bytes = ${rowBytes}
    for name, value in pairs(row) do
      if name ~= 'state' and name ~= 'settledAt' then bytes = bytes + #value end
    end
    return bytes
  end
  local function counted(row) return row.state ~= 'rejected' and row.state ~= 'not_sent' end
  local function dayOf(ms) return math.floor(tonumber(ms) / 86400000) end
  local function count(row, change)
    local day = dayOf(row.createdAt)
    local sends = redis.call('HINCRBY', P .. 'counts:' .. day, row.caller, change)
    if sends < 0 then redis.call('HSET', P .. 'counts:' .. day, row.caller, 0) end
    redis.call('ZADD', P .. 'days', day, day)
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
    if row.idempotencyKey and row.state ~= 'not_sent' then redis.call('SET', holder(row), row.id) end
    if row.state == 'pending' then redis.call('SADD', P .. 'pending:' .. row.owner, row.id) else ripen(row) end
    if counted(row) then count(row, 1) end
    redis.call('INCRBY', P .. 'bytes', size(row))
  end

  local function free(row)
    if row.idempotencyKey and redis.call('GET', holder(row)) == row.id then redis.call('DEL', holder(row)) end
  end

  local function drop(id)
    local row = read(id)
    redis.call('ZREM', P .. 'settled', id)
    redis.call('ZREM', P .. 'unknown', id)
    if not row then return end
    free(row)
    redis.call('ZREM', of(row.caller), id)
    for _, name in ipairs(filters) do
      if row[name] then redis.call('ZREM', by(name, row.caller, row[name]), id) end
    end
    redis.call('DEL', at(id))
    redis.call('DECRBY', P .. 'bytes', size(row))
  end

  local function move(row, to, settledAt, answer)
    local was = counted(row)
    local before = row.answer or ''
    redis.call('ZREM', by('state', row.caller, row.state), row.id)
    redis.call('SREM', P .. 'pending:' .. row.owner, row.id)
    redis.call('ZREM', P .. 'unknown', row.id)
    row.state, row.settledAt, row.answer = to, settledAt, answer
    redis.call('HSET', at(row.id), 'state', to, 'settledAt', settledAt)
    if answer then
      redis.call('HSET', at(row.id), 'answer', answer)
      redis.call('INCRBY', P .. 'bytes', #answer - #before)
    end
    redis.call('ZADD', by('state', row.caller, to), 0, row.id)
    ripen(row)
    if was and not counted(row) then count(row, -1) end
    if to == 'not_sent' then free(row) end
  end

  local function beat(owner, untilMs) redis.call('ZADD', P .. 'leases', 'GT', untilMs, owner) end
  local function orphan(owner, room)
    local ids = redis.call('SRANDMEMBER', P .. 'pending:' .. owner, room)
    for _, id in ipairs(ids) do
      local row = read(id)
      if row then move(row, 'unknown', ARGV[1]) else redis.call('SREM', P .. 'pending:' .. owner, id) end
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
const script = (flags: string, ...parts: string[]): Script => {
  const lua = [`#!lua flags=${flags}`, ...parts].join('\n')
  return { lua, sha: hash('sha1', lua) }
}
const read = (body: string) => script('no-writes,no-cluster', common, paging, body)
const write = (body: string) => script('allow-oom,no-cluster', common, writing, body)
const grow = (body: string) => script('no-cluster', common, writing, body)

/** The ledger's verbs, one atomic step each; those that write begin their answer with whether the store is over its size. */
export const scripts = {
  open: write(`return {over()}`),

  /** Whether a claim would be taken: the server looks before it runs this. */
  room: grow(`return {over()}`),

  claim: grow(`
    local perDay = tonumber(ARGV[6]) or math.huge
    local row = {}
    for i = 7, #ARGV, 2 do row[ARGV[i]] = ARGV[i + 1] end
    if row.idempotencyKey then
      local id = redis.call('GET', holder(row))
      local existing, flat
      if id then existing, flat = read(id) end
      if existing and live(existing) then return {over(), 'held', flat} end
      if id then drop(id) end
    end
    local used = tonumber(redis.call('HGET', P .. 'counts:' .. dayOf(row.createdAt), row.caller) or 0)
    if used >= perDay then return {over(), 'quota'} end
    if over() == 1 then return {1, 'limit'} end
    if redis.call('EXISTS', at(row.id)) == 1 then return {0, 'known'} end
    if redis.call('EXISTS', P .. 'void:' .. row.id) == 1 then return {0, 'void'} end
    row.state = 'pending'
    insert(row)
    beat(row.owner, now + leaseMs)
    return {over(), 'claimed'}`),

  settle: write(`
    local id, to, settledAt, answer = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
    local row = read(id)
    if not row then
      if to == 'not_sent' then redis.call('SET', P .. 'void:' .. id, '', 'PX', ${voidMs}) end
      return {over(), 0}
    end
    local may = row.state == 'pending' or (row.state == 'unknown' and (to == 'accepted' or to == 'rejected'))
    if may then move(row, to, settledAt, answer) end
    return {over(), may and 1 or 0, redis.call('HGETALL', at(id))}`),

  heartbeat: write(`
    beat(ARGV[6], now + leaseMs)
    return {over()}`),

  release: write(`return {over(), orphan(ARGV[6], tonumber(ARGV[7]))}`),

  expireLeases: write(`
    local rows = tonumber(ARGV[6])
    local found = 0
    for _, owner in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now)) do
      if found < rows then found = found + orphan(owner, rows - found) end
    end
    return {over(), found}`),

  deleteExpired: write(`
    local rows, oldest = tonumber(ARGV[6]), dayOf(now - tonumber(ARGV[7]))
    for _, day in ipairs(redis.call('ZRANGEBYSCORE', P .. 'days', '-inf', '(' .. oldest)) do
      redis.call('DEL', P .. 'counts:' .. day)
      redis.call('ZREM', P .. 'days', day)
    end
    local gone = 0
    for name, horizon in pairs({settled = now - keep, unknown = now - keepUnknown}) do
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. name, '-inf', horizon, 'LIMIT', 0, rows - gone)) do
        drop(id)
        gone = gone + 1
      end
    end
    return {over(), gone}`),

  secret: write(`
    redis.call('SETNX', P .. 'secret', ARGV[6])
    return {over(), redis.call('GET', P .. 'secret')}`),

  load: grow(`
    local row = {}
    for i = 6, #ARGV, 2 do row[ARGV[i]] = ARGV[i + 1] end
    if redis.call('EXISTS', at(row.id)) == 1 then return {over(), 0} end
    local id = row.idempotencyKey and row.state ~= 'not_sent' and redis.call('GET', holder(row))
    if id then
      local existing = read(id)
      if existing and live(existing) then return {over(), 0} end
      drop(id)
    end
    insert(row)
    if row.state == 'pending' then beat(row.owner, 0) end
    return {over(), 1}`),

  forget: write(`
    local caller, destination, after, rows = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
    local from = after == '' and '-' or '(' .. after
    local ids = redis.call('ZRANGE', by('destination', caller, destination), from, '+', 'BYLEX', 'LIMIT', 0, rows)
    local pending = 0
    for _, id in ipairs(ids) do
      if redis.call('HGET', at(id), 'state') == 'pending' then pending = pending + 1 else drop(id) end
    end
    return {over(), #ids - pending, pending, ids[rows] or ''}`),

  find: read(`
    local row, flat = read(ARGV[7])
    if row and row.caller == ARGV[6] and live(row) then return flat end`),

  /** Walks the shortest index that fits, a slice at a time, so that nobody waits for a filter that few rows match. */
  list: read(`
    local caller, limit, before, slice = ARGV[6], tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
    local index, wanted = of(caller), {}
    for i = 10, #ARGV, 2 do
      wanted[ARGV[i]] = ARGV[i + 1]
      local narrower = by(ARGV[i], caller, ARGV[i + 1])
      if redis.call('ZCARD', narrower) < redis.call('ZCARD', index) then index = narrower end
    end
    local from = before == '' and '+' or '(' .. before
    local ids = redis.call('ZRANGE', index, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, slice)
    local found = {}
    for _, id in ipairs(ids) do
      if #found == limit then break end
      local row, flat = read(id)
      local fits = row and live(row)
      for name, value in pairs(wanted) do fits = fits and row[name] == value end
      if fits then found[#found + 1] = flat end
    end
    return {found, ids[slice] or ''}`),

  dump: read(`
    local rows = {}
    for _, id in ipairs(page(ARGV[6], tonumber(ARGV[7]))) do
      local _, flat = read(id)
      rows[#rows + 1] = flat or {'id', id}
    end
    return rows`),

  callers: read(`return redis.call('SMEMBERS', P .. 'callers')`),

  inspect: read(`
    local ids, missing = page(ARGV[6], tonumber(ARGV[7])), 0
    for _, id in ipairs(ids) do missing = missing + 1 - redis.call('EXISTS', at(id)) end
    return {missing, ids[tonumber(ARGV[7])] or '', tonumber(redis.call('GET', P .. 'bytes') or 0)}`),

  /** Not of the ledger: what it counts is over in a minute, by the server's clock. */
  count: script(
    'no-cluster',
    `local key = '${prefix}rate:' .. ARGV[1]
    local count = redis.call('INCR', key)
    local left = redis.call('PTTL', key)
    if left < 0 then
      left = tonumber(ARGV[2])
      redis.call('PEXPIRE', key, left)
    end
    return {count, left}`,
  ),
} as const satisfies Record<string, Script>
