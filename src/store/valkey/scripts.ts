// Longer than 200 lines, because it is one table: every step that the server takes as a whole.
import { lookAfterMs } from '../store.ts'
import { grow, prefix, read, type Script, script, voidMs, write } from './lua.ts'

/** The ledger's verbs, one atomic step each; those that write begin their answer with whether the store is over its size. */
export const scripts = {
  open: write(`
    for _, caller in ipairs(redis.call('SMEMBERS', P .. 'callers')) do forgetIfGone(caller) end -- an earlier release has left them
    return {over(), redis.call('SCARD', P .. 'callers'), unpack(mark())}`),

  /** Whether a claim would be taken: the server looks before it runs this. */
  room: grow(`return {over()}`),

  /** A key whose row is gone, though nothing has deleted it, is refused as changed: the server has evicted the row. */
  claim: grow(`
    local perDay, attempts, tolerant = tonumber(ARGV[9]) or math.huge, tonumber(ARGV[10]) or math.huge, ARGV[11] == '1'
    local chat, sealed, row = ARGV[12], ARGV[13], {}
    for i = 14, #ARGV, 2 do row[ARGV[i]] = ARGV[i + 1] end
    if row.idempotencyKey then
      local found = mark()
      if changed(found) then return {over(), 'changed', unpack(found)} end
      local id, existing, flat = holding(row)
      if id and not existing then
        if not tolerant then return {over(), 'evicted', unpack(found)} end
        unhold(row, id)
      end
      if existing and live(existing) then return {over(), 'held', flat} end
      if existing then drop(id) end
    end
    local day = dayOf(row.createdAt)
    local used = tonumber(redis.call('HGET', P .. 'counts:' .. day, row.caller) or 0)
    local tried = tonumber(redis.call('HGET', P .. 'attempts:' .. day, row.caller) or 0)
    if used >= perDay or tried >= attempts then return {over(), 'quota'} end
    if over() == 1 then makeRoom() end
    if over() == 1 then return {1, 'limit'} end
    if redis.call('EXISTS', at(row.id)) == 1 then return {0, 'known'} end
    if redis.call('EXISTS', P .. 'void:' .. row.id) == 1 then return {0, 'void'} end
    row.state = sealed == '' and 'pending' or 'queued'
    insert(row)
    if sealed == '' then renewLease(row.owner, now + leaseMs) else enqueue(row, chat, sealed) end
    local claims = row.idempotencyKey and redis.call('HINCRBY', P .. 'ledger', 'claims', 1) or 0
    return {over(), 'claimed', claims}`),

  settle: write(`
    local id, to, settledAt, answer, settledBy, note = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]
    local row = read(id)
    if not row then
      if to == 'not_sent' then redis.call('SET', P .. 'void:' .. id, '', 'PX', ${voidMs}) end
      return {over(), 0}
    end
    local found = settledBy == 'caller' or settledBy == 'read-back'
    local was = row.state
    local may = was == 'unknown' and (found or to == 'accepted' or to == 'rejected')
    may = may or (was == 'pending' and not found)
    if may then
      move(row, to, settledAt, answer)
      if settledBy ~= '' then set(row, 'settledBy', settledBy) end
      if note ~= '' then set(row, 'note', note) end
      if ARGV[15] == '1' or was == 'unknown' then announce(row) end
      if not row.messageId then return {over(), 1} end
    end
    return {over(), may and 1 or 0, redis.call('HGETALL', at(id))}`),

  note: write(`
    local row = read(ARGV[9])
    if not row then return {over(), 0} end
    local isNew = ARGV[11] ~= '' and ARGV[11] ~= row.deliveryStatus
    if row.messageId and (row.messageId ~= ARGV[10] or not isNew) then return {over(), 0} end
    set(row, 'messageId', ARGV[10])
    if ARGV[11] ~= '' then set(row, 'deliveryStatus', ARGV[11]) end
    set(row, 'deliveryAt', ARGV[12])
    if row.state ~= 'pending' then announce(row) end
    return {over(), 1}`),

  takeLookups: write(`
    local limit, found = tonumber(ARGV[9]), {}
    for i = 10, #ARGV do
      local due = P .. 'looks:' .. ARGV[i]
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit - #found)) do
        local row, flat = read(id)
        redis.call('ZREM', due, id)
        if row and row.state == 'unknown' then
          found[#found + 1] = flat
          for _, ms in ipairs({${lookAfterMs}}) do
            if row.settledAt + ms > now then
              redis.call('ZADD', due, row.settledAt + ms, id)
              break
            end
          end
        end
      end
    end
    return {over(), found}`),

  heartbeat: write(`
    renewLease(ARGV[9], now + leaseMs)
    local found = mark()
    if ARGV[11] == '1' or tonumber(ARGV[10]) > tonumber(found[5]) then redis.call('HSET', P .. 'ledger', 'clock', ARGV[10]) end
    return {over(), tonumber(redis.call('GET', P .. 'bytes') or 0), unpack(found)}`),

  accept: write(`
    mark()
    redis.call('HSET', P .. 'ledger', 'acceptance', ARGV[9], 'acceptedAt', now)
    return {over()}`),

  release: write(`return {over(), orphan(ARGV[9], tonumber(ARGV[10]), ARGV[11])}`),

  expireLeases: write(`
    local rows = tonumber(ARGV[9])
    local found = 0
    for _, owner in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '(' .. now + leaseMs, '+inf')) do renewLease(owner, now + leaseMs) end
    for _, owner in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', now)) do
      if found < rows then found = found + orphan(owner, rows - found, ARGV[10]) end
    end
    return {over(), found}`),

  deleteExpired: write(`
    local rows, oldest = tonumber(ARGV[9]), dayOf(now - tonumber(ARGV[10]))
    for _, day in ipairs(redis.call('ZRANGEBYSCORE', P .. 'days', '-inf', '(' .. oldest)) do
      redis.call('DEL', P .. 'counts:' .. day, P .. 'attempts:' .. day)
      redis.call('ZREM', P .. 'days', day)
    end
    local gone = 0
    for name, until_ in pairs(horizon) do
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. name, '-inf', until_, 'LIMIT', 0, rows - gone)) do
        drop(id)
        gone = gone + 1
      end
    end
    return {over(), gone}`),

  secret: write(`
    redis.call('SETNX', P .. 'secret', ARGV[9])
    return {over(), redis.call('GET', P .. 'secret')}`),

  load: grow(`
    local row = {}
    for i = 9, #ARGV, 2 do row[ARGV[i]] = ARGV[i + 1] end
    if redis.call('EXISTS', at(row.id)) == 1 then return {over(), 0} end
    if row.idempotencyKey and row.state ~= 'not_sent' then
      local id, existing = holding(row)
      if existing and live(existing) then return {over(), 0} end
      if existing then drop(id) elseif id then unhold(row, id) end
    end
    insert(row)
    if row.state == 'pending' then redis.call('ZADD', P .. 'leases', 'NX', 0, row.owner) end
    return {over(), 1}`),

  forget: write(`
    local caller, destination, after, rows = ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
    local from = after == '' and '-' or '(' .. after
    local ids = redis.call('ZRANGE', by('destination', caller, destination), from, '+', 'BYLEX', 'LIMIT', 0, rows)
    local pending = 0
    for _, id in ipairs(ids) do
      if redis.call('HGET', at(id), 'state') == 'pending' then pending = pending + 1 else drop(id) end
    end
    return {over(), #ids - pending, pending, ids[rows] or ''}`),

  find: read(`
    local row, flat = read(ARGV[11])
    if row and row.caller == ARGV[9] and row.account == ARGV[10] and live(row) then return flat end`),

  /** Walks the shortest matching index, a slice at a time, so that a filter with few matches blocks no other call. */
  list: read(`
    local caller, account, limit, before, slice = ARGV[9], ARGV[10], tonumber(ARGV[11]), ARGV[12], tonumber(ARGV[13])
    local index, wanted = of(caller), {}
    for i = 14, #ARGV, 2 do
      wanted[ARGV[i]] = ARGV[i + 1]
      local narrower = ARGV[i] ~= 'actor' and by(ARGV[i], caller, ARGV[i + 1]) or index -- a list by actor is one of a destination, too
      if redis.call('ZCARD', narrower) < redis.call('ZCARD', index) then index = narrower end
    end
    local from = before == '' and '+' or '(' .. before
    local ids = redis.call('ZRANGE', index, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, slice)
    local found = {}
    for _, id in ipairs(ids) do
      if #found == limit then break end
      local row, flat = read(id)
      local fits = row and row.account == account and live(row)
      for name, value in pairs(wanted) do
        fits = fits and (row[name] == value or (name == 'destination' and spelled(row) == value))
      end
      if fits then found[#found + 1] = flat end
    end
    return {found, ids[slice] or ''}`),

  conversation: read(`
    local user, platform, platformId, destination, rows = ARGV[9], ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[14])
    local found = {}
    for _, caller in ipairs(redis.call('SMEMBERS', P .. 'callers')) do
      local index = by('destination', caller, destination)
      local function look(from, to, started)
        local most, slices, ids = #found + rows, 0, nil
        repeat
          ids = redis.call('ZRANGE', index, to, from, 'BYLEX', 'REV', 'LIMIT', 0, rows)
          for _, id in ipairs(ids) do
            local row, flat
            if not started or tonumber(redis.call('HGET', at(id), 'startedAt') or 0) >= started then row, flat = read(id) end
            local fits = row and row.user == user and row.platform == platform and row.platformId == platformId
            if fits and row.destination == destination and #found < most then found[#found + 1] = flat end
          end
          to, slices = '(' .. (ids[#ids] or ''), slices + 1
        until #ids < rows or #found == most or slices == 10 -- the server does nothing else meanwhile
      end
      look('[' .. ARGV[13], '+')
      look('[' .. ARGV[15], '(' .. ARGV[13], tonumber(ARGV[16]))
    end
    return found`),

  recent: read(`
    local account, rows, found = ARGV[9], tonumber(ARGV[11]), {}
    for _, caller in ipairs(redis.call('SMEMBERS', P .. 'callers')) do
      for _, id in ipairs(redis.call('ZRANGE', of(caller), '+', '[' .. ARGV[10], 'BYLEX', 'REV', 'LIMIT', 0, rows)) do
        local row, flat = read(id)
        local state = row and row.account == account and row.state
        if state == 'pending' or state == 'accepted' or state == 'unknown' then found[#found + 1] = flat end
      end
    end
    return found`),

  dump: read(`
    local rows = {}
    for _, id in ipairs(page(ARGV[9], tonumber(ARGV[10]))) do
      local _, flat = read(id)
      rows[#rows + 1] = flat or {'id', id}
    end
    return rows`),

  /** Has rows of an earlier release found by the digits of their destination, however it was written. */
  spell: write(`
    local ids = page(ARGV[9], tonumber(ARGV[10]))
    for _, id in ipairs(ids) do
      local row = read(id)
      if row then spell(row) end
    end
    return {over(), ids[tonumber(ARGV[10])] or ''}`),

  members: read(`return redis.call('SMEMBERS', P .. ARGV[9])`),

  inspect: read(`
    local ids, missing = page(ARGV[9], tonumber(ARGV[10])), 0
    for _, id in ipairs(ids) do missing = missing + 1 - redis.call('EXISTS', at(id)) end
    return {missing, ids[tonumber(ARGV[10])] or '', tonumber(redis.call('GET', P .. 'bytes') or 0)}`),

  /** Not of the ledger: what it counts is over in a minute, by the server's clock. */
  count: script(
    'no-cluster',
    `local key = '${prefix}rate:' .. ARGV[1]
    local count = redis.call('INCR', key)
    local left = redis.call('PTTL', key)
    if left < 0 or left > tonumber(ARGV[2]) then -- or the server's clock was set back
      left = tonumber(ARGV[2])
      redis.call('PEXPIRE', key, left)
    end
    return {count, left}`,
  ),
} as const satisfies Record<string, Script>
