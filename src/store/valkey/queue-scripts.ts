import { read, type Script, voidMs, write } from './lua.ts'
import { queueTaking } from './queue-lua.ts'

const expiredAtOnce = 200
const lookedAt = 1_000 // for the earliest: those that are due come first

/** The verbs of the queue, one atomic step each. */
export const queueScripts = {
  takeDue: write(`${queueTaking}
    local owner, free, endedAt, held, expired = ARGV[9], tonumber(ARGV[10]), ARGV[11], {}, {}
    for i = 12, #ARGV, 2 do
      held[ARGV[i]] = tonumber(ARGV[i + 1])
      free = free - held[ARGV[i]]
    end
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', Q('expiry'), '-inf', now, 'LIMIT', 0, ${expiredAtOnce})) do
      local row = read(id)
      if row and row.state == 'queued' then
        move(row, 'expired', endedAt, '')
        announce(row)
        expired[#expired + 1] = {row.account, row.kind, row.id}
      else
        redis.call('ZREM', Q('expiry'), id)
      end
    end
    local found, due = mark(), {}
    if changed(found) then return {over(), 'changed', '', expired, unpack(found)} end
    local nextAt = adopt() and ARGV[1] or ''
    local lines = linesOf(held)
    local line = fewest(lines)
    while line and line.held < free do
      local id = line.id
      local row = read(id)
      local chat = redis.call('HGET', Q(id), 'chat')
      if chat and row and row.state == 'queued' then
        unready(id)
        redis.call('DEL', Q('head:' .. chat))
        redis.call('ZREM', Q('chat:' .. chat), id)
        redis.call('ZREM', Q('expiry'), id)
        redis.call('SET', Q('running:' .. chat), id)
        setState(row, 'pending')
        set(row, 'owner', owner)
        set(row, 'startedAt', ARGV[1])
        redis.call('SADD', P .. 'pending:' .. owner, id)
        announce(row)
        local _, flat = read(id)
        due[#due + 1] = {flat, redis.call('HGET', Q(id), 'sealed'), redis.call('HINCRBY', Q(id), 'attempts', 1)}
        line.held, free = line.held + 1, free - 1
      else
        dequeue(id)
        redis.call('ZREM', Q('ready'), id)
      end
      advance(line)
      line = fewest(lines)
    end
    if #due > 0 then renewLease(owner, now + leaseMs) end
    local function wake(time)
      if time and (nextAt == '' or tonumber(time) < tonumber(nextAt)) then nextAt = time end
    end
    wake(redis.call('ZRANGEBYSCORE', Q('accounts'), '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
    wake(redis.call('ZRANGE', Q('expiry'), 0, 0, 'WITHSCORES')[2])
    return {over(), due, nextAt, expired, #due > 0 and redis.call('HINCRBY', P .. 'ledger', 'claims', #due) or 0}`),

  pendingOf: read(`
    local pending = {}
    for _, id in ipairs(redis.call('SMEMBERS', P .. 'pending:' .. ARGV[9])) do
      local attempts = redis.call('HGET', P .. 'queue:' .. id, 'attempts')
      local _, flat = read(id)
      if flat then pending[#pending + 1] = {flat, tonumber(attempts or 0)} end
    end
    return pending`),

  requeue: write(`
    local row = read(ARGV[9])
    local chat = redis.call('HGET', Q(ARGV[9]), 'chat')
    if not row or row.state ~= 'pending' or not chat or redis.call('HGET', Q(row.id), 'attempts') ~= ARGV[11] then return {over(), 0} end
    setState(row, 'queued')
    redis.call('SREM', P .. 'pending:' .. row.owner, row.id)
    redis.call('HSET', Q(row.id), 'nextAt', ARGV[10])
    redis.call('DEL', Q('running:' .. chat))
    redis.call('ZADD', Q('chat:' .. chat), row.dueAt, row.id)
    redis.call('ZADD', Q('expiry'), row.expiresAt, row.id)
    promote(chat)
    announce(row)
    return {over(), 1}`),

  unqueue: write(`
    local row = read(ARGV[9])
    if not row then
      if ARGV[10] == 'not_sent' then redis.call('SET', P .. 'void:' .. ARGV[9], '', 'PX', ${voidMs}) end
      return {over(), 0}
    end
    if row.state ~= 'queued' then return {over(), 0, redis.call('HGETALL', at(row.id))} end
    move(row, ARGV[10], ARGV[11], ARGV[12])
    if ARGV[13] ~= '' then set(row, 'settledBy', ARGV[13]) end
    announce(row)
    return {over(), 1}`),

  /** What is held stays in `expiry`: it expires all the same. */
  hold: write(`
    local held = 0
    for _, id in ipairs(redis.call('ZRANGE', Q('expiry'), 0, -1)) do
      if redis.call('SADD', Q('held'), id) == 1 then
        held = held + 1
        local chat = redis.call('HGET', Q(id), 'chat')
        if chat then
          redis.call('ZREM', Q('chat:' .. chat), id)
          promote(chat)
        end
      end
    end
    return {over(), held}`),

  unhold: write(`
    local released = 0
    for _, id in ipairs(redis.call('SMEMBERS', Q('held'))) do
      redis.call('SREM', Q('held'), id)
      local row, chat = read(id), redis.call('HGET', Q(id), 'chat')
      if row and chat then
        released = released + 1
        redis.call('ZADD', Q('chat:' .. chat), row.dueAt, id)
        promote(chat)
      end
    end
    return {over(), released}`),

  sealedByOthers: read(`
    local own, found = {}, {}
    for i = 9, #ARGV do own[ARGV[i]] = true end
    for _, id in ipairs(redis.call('ZRANGE', P .. 'queue:expiry', 0, -1)) do
      local name = string.match(redis.call('HGET', P .. 'queue:' .. id, 'sealed') or '', '^[^.]*')
      local _, flat = read(id)
      if flat and not own[name] and #found < 1000 then found[#found + 1] = flat end
    end
    return found`),

  /**
   * `ready` has the time of the next attempt, which after a failed one is not when the send was due. Those that wait behind one that runs are
   * not in it.
   */
  backlog: read(`
    local all, held, first = redis.call('ZCARD', P .. 'queue:expiry'), redis.call('SCARD', P .. 'queue:held'), math.huge
    for _, id in ipairs(redis.call('ZRANGE', P .. 'queue:ready', 0, ${lookedAt - 1})) do
      first = math.min(first, tonumber(redis.call('HGET', at(id), 'dueAt')) or first)
    end
    for _, owner in ipairs(redis.call('ZRANGE', P .. 'leases', 0, -1)) do
      for _, id in ipairs(redis.call('SMEMBERS', P .. 'pending:' .. owner)) do
        local chat = redis.call('HGET', P .. 'queue:' .. id, 'chat')
        local next = chat and redis.call('ZRANGE', P .. 'queue:chat:' .. chat, 0, 0, 'WITHSCORES') or {}
        first = math.min(first, tonumber(next[2]) or first)
      end
    end
    return {all - held, held, first < math.huge and first or ''}`),
} as const satisfies Record<string, Script>
