import { grow, read, type Script, write } from './lua.ts'

/**
 * Leases and the event log, one atomic step each.
 *
 * `fences` has the fence and holder of each name, `held:<name>` is there while the lease lasts, by the server's clock. `logs` names the
 * accounts that have a log, `log:<account>` says which one it is, `events:<account>` is a stream whose ids are the positions, and
 * `states:<account>` has what the poller knows.
 */
export const eventScripts = {
  acquire: write(`
    local name, holder, leaseMs = ARGV[9], ARGV[10], ARGV[11]
    local fence, who = string.match(redis.call('HGET', P .. 'fences', name) or '0 ', '^(%d+) (.*)$')
    local leftMs = redis.call('PTTL', P .. 'held:' .. name)
    local held = leftMs >= 0
    if leftMs > tonumber(leaseMs) then redis.call('PEXPIRE', P .. 'held:' .. name, leaseMs) end -- the server's clock was set back
    if held and who ~= holder then return {over()} end
    if not held then
      fence = math.max(tonumber(fence) + 1, math.floor(now))
      redis.call('HSET', P .. 'fences', name, fence .. ' ' .. holder)
    end
    redis.call('SET', P .. 'held:' .. name, '', 'PX', leaseMs)
    return {over(), tonumber(fence)}`),

  renew: write(`
    if not holds(ARGV[9], ARGV[10]) then return {over(), 0} end
    redis.call('SET', P .. 'held:' .. ARGV[9], '', 'PX', ARGV[11])
    return {over(), 1}`),

  release: write(`
    if holds(ARGV[9], ARGV[10]) then redis.call('DEL', P .. 'held:' .. ARGV[9]) end
    return {over()}`),

  /** Tries each command that only events need, so that a right that is missing is found before anything depends on it. */
  openLog: grow(`
    local account, identity = ARGV[9], ARGV[10]
    local stream, states = P .. 'events:' .. account, P .. 'states:' .. account
    redis.call('XADD', stream .. ':none', 'NOMKSTREAM', '*', 'd', '', 'e', '')
    redis.call('XRANGE', stream, '1', '1')
    redis.call('XTRIM', stream, 'MINID', '0')
    redis.call('XDEL', stream, '0-1')
    redis.call('HDEL', states, '')
    redis.call('HSCAN', states, '0', 'COUNT', 1)
    if not markOf(account) then
      redis.call('HSET', P .. 'log:' .. account, 'identity', identity, 'trimmed', 0, 'last', 0)
      redis.call('SADD', P .. 'logs', account)
    end
    redis.call('HSET', P .. 'log:' .. account, 'openedAt', now)
    return {over(), unpack(markOf(account))}`),

  append: grow(`
    local account, name, fence, states = ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
    if name ~= '' and not holds(name, fence) then return {over(), 'fenced'} end
    if not markOf(account) then return redis.error_reply('ERR no log') end
    if over() == 1 then dropEvents(account) end
    for i = 13, 12 + 2 * states, 2 do know(account, ARGV[i], ARGV[i + 1]) end
    local positions = {}
    for i = 13 + 2 * states, #ARGV, 2 do positions[#positions + 1] = log(account, ARGV[i], ARGV[i + 1]) end
    return {over(), positions}`),

  read: read(`
    local mark = markOf(ARGV[9])
    if not mark then return {} end
    local entries = redis.call('XRANGE', P .. 'events:' .. ARGV[9], '(' .. ARGV[10], '+', 'COUNT', ARGV[11])
    local found = {mark}
    for _, entry in ipairs(entries) do
      found[#found + 1] = entry[1]
      found[#found + 1] = entry[2][4]
    end
    return found`),

  states: read(`return redis.call('HSCAN', P .. 'states:' .. ARGV[9], ARGV[10], 'COUNT', ARGV[11])`),

  findStates: read(`
    local found = {}
    for i = 10, #ARGV do found[i - 9] = redis.call('HGET', P .. 'states:' .. ARGV[9], ARGV[i]) or '' end
    return found`),

  marks: read(`
    local found = {}
    for i = 9, #ARGV do found[i - 8] = markOf(ARGV[i]) or {'', '0', '0'} end
    return found`),

  /** One slice of one log, before a position or, after a clock was ahead, by the events' own times; a log that was opened last before a time goes as a whole, with what was known. */
  trim: write(`
    local account, before, openedBefore = ARGV[9], ARGV[10], tonumber(ARGV[11])
    local opened = redis.call('HGET', P .. 'log:' .. account, 'openedAt')
    local old = opened and tonumber(opened) < openedBefore
    local dropped = dropEvents(account, not old and before)
    if dropped == 0 then dropped = dropAfterLeap(account, tonumber(ARGV[12]), tonumber(ARGV[13])) end
    if old and dropped == 0 then
      local found = redis.call('HSCAN', P .. 'states:' .. account, '0', 'COUNT', 200)
      for i = 1, #found[2], 2 do know(account, found[2][i], '') end
      if #found[2] > 0 then return {over(), #found[2] / 2} end
      redis.call('DEL', P .. 'log:' .. account, P .. 'events:' .. account)
      redis.call('SREM', P .. 'logs', account)
    end
    return {over(), dropped}`),

  /** A slice of the events of a destination, after a position; answers the last that was looked at. */
  forgetEvents: write(`
    local account, destination, after, rows = ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
    local entries = redis.call('XRANGE', P .. 'events:' .. account, '(' .. after, '+', 'COUNT', rows)
    local bytes = 0
    for _, entry in ipairs(entries) do
      if entry[2][2] == destination then
        redis.call('XDEL', P .. 'events:' .. account, entry[1])
        bytes = bytes + eventBytes(entry[2])
      end
    end
    redis.call('DECRBY', P .. 'bytes', bytes)
    return {over(), entries[rows] and entries[rows][1] or ''}`),

  forgetStates: write(`
    local account, destination = ARGV[9], ARGV[10]
    local found = redis.call('HSCAN', P .. 'states:' .. account, ARGV[11], 'COUNT', ARGV[12])
    for i = 1, #found[2], 2 do
      if cjson.decode(found[2][i + 1])[1] == destination then know(account, found[2][i], '') end
    end
    return {over(), found[1]}`),
} as const satisfies Record<string, Script>
