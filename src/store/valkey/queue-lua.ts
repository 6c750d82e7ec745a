/** What an entry of the queue takes beside its encrypted body. */
const entryBytes = 700

const adoptedAtOnce = 200
const lookMs = 1_000 // what an earlier release has dropped may hide as many that it has added

/**
 * The queue, for scripts that write. `queue:<id>` is an entry; `queue:chat:…` has those of a conversation that wait, by due time and id, and
 * `queue:head:…` and `queue:running:…` name its first one and the one that runs. `queue:ready` has all first ones by the time of their next
 * attempt, `queue:ready:<account>` those of an account, `queue:accounts` the accounts by the time of the first of these; `queue:expiry` has all that do
 * not run, `queue:held` those that an operator holds.
 *
 * `queue:ready` is what counts: an earlier release knows no other, and takes from it or adds to it beside this one.
 */
export const queueWriting = `
  local function Q(name) return P .. 'queue:' .. name end
  local function firstOf(account) -- what is ready; its account is found by the time of it
    local found = redis.call('ZRANGE', Q('ready:' .. account), 0, 0, 'WITHSCORES')
    if found[1] then redis.call('ZADD', Q('accounts'), found[2], account) else redis.call('ZREM', Q('accounts'), account) end
    return found[1], found[2]
  end
  local function ready(id, nextAt)
    local account = redis.call('HGET', at(id), 'account')
    redis.call('ZADD', Q('ready'), nextAt, id)
    if not account then return end -- the server has evicted its row
    redis.call('ZADD', Q('ready:' .. account), nextAt, id)
    firstOf(account)
  end
  local function unready(id)
    local account = redis.call('HGET', at(id), 'account')
    redis.call('ZREM', Q('ready'), id)
    if not account then return end -- as above
    redis.call('ZREM', Q('ready:' .. account), id)
    firstOf(account)
  end
  local function promote(chat)
    local head = redis.call('GET', Q('head:' .. chat))
    if head then
      unready(head)
      redis.call('DEL', Q('head:' .. chat))
    end
    local running = redis.call('GET', Q('running:' .. chat))
    if running and redis.call('EXISTS', Q(running)) == 1 then return end
    local first, nextAt
    repeat
      first = redis.call('ZRANGE', Q('chat:' .. chat), 0, 0)[1]
      if not first then return end
      nextAt = redis.call('HGET', Q(first), 'nextAt')
      if not nextAt then redis.call('ZREM', Q('chat:' .. chat), first) end -- the server has evicted its entry
    until nextAt
    redis.call('SET', Q('head:' .. chat), first)
    ready(first, nextAt)
  end
  local function enqueue(row, chat, sealed)
    redis.call('HSET', Q(row.id), 'chat', chat, 'sealed', sealed, 'nextAt', row.dueAt, 'attempts', 0)
    redis.call('ZADD', Q('chat:' .. chat), row.dueAt, row.id)
    redis.call('ZADD', Q('expiry'), row.expiresAt, row.id)
    redis.call('INCRBY', P .. 'bytes', #sealed + #chat + ${entryBytes})
    promote(chat)
  end
  local function dequeue(id)
    local chat, sealed = redis.call('HGET', Q(id), 'chat'), redis.call('HGET', Q(id), 'sealed')
    if not chat then return end
    redis.call('DEL', Q(id))
    redis.call('ZREM', Q('chat:' .. chat), id)
    redis.call('ZREM', Q('expiry'), id)
    redis.call('SREM', Q('held'), id)
    if redis.call('GET', Q('running:' .. chat)) == id then redis.call('DEL', Q('running:' .. chat)) end
    redis.call('DECRBY', P .. 'bytes', #sealed + #chat + ${entryBytes})
    promote(chat)
  end
`

/** What is due, account by account: a line is an account with its first send and the number of places that it holds. */
export const queueTaking = `
  local function adopt() -- what an earlier release has made ready: its account's set lacks it
    local known = 0
    for _, account in ipairs(redis.call('ZRANGE', Q('accounts'), 0, -1)) do known = known + redis.call('ZCARD', Q('ready:' .. account)) end
    local all = redis.call('ZCARD', Q('ready'))
    if all == 0 or (all <= known and not redis.call('SET', Q('looked'), '', 'PX', ${lookMs}, 'NX')) then return false end
    local cursor = redis.call('GET', Q('cursor')) or 0
    local scanned = redis.call('ZSCAN', Q('ready'), cursor, 'COUNT', ${adoptedAtOnce})
    redis.call('SET', Q('cursor'), scanned[1])
    for i = 1, #scanned[2], 2 do
      local id = scanned[2][i]
      if redis.call('EXISTS', at(id)) == 1 then
        ready(id, scanned[2][i + 1])
      else
        dequeue(id)
        redis.call('ZREM', Q('ready'), id)
      end
    end
    return all > known
  end
  local function advance(line) -- to what is first now; an earlier release may have taken others, or queued them again
    repeat
      line.id, line.nextAt = firstOf(line.account)
      local score = line.id and redis.call('ZSCORE', Q('ready'), line.id)
      if line.id and not score then
        redis.call('ZREM', Q('ready:' .. line.account), line.id)
      elseif score ~= line.nextAt then
        redis.call('ZADD', Q('ready:' .. line.account), score, line.id)
      end
    until score == line.nextAt
    line.time = line.id and tonumber(line.nextAt) or math.huge
  end
  local function linesOf(held)
    local lines = {}
    for _, account in ipairs(redis.call('ZRANGEBYSCORE', Q('accounts'), '-inf', now)) do
      local line = {account = account, held = held[account] or 0}
      advance(line)
      lines[#lines + 1] = line
    end
    return lines
  end
  local function fewest(lines)
    local found
    for _, line in ipairs(lines) do
      local isBefore = not found or line.held < found.held or (line.held == found.held and line.time < found.time)
      if isBefore and line.time <= now then found = line end
    end
    return found
  end
`
