/** What an entry of the queue takes beside its encrypted body. */
const entryBytes = 700

/**
 * The queue, for scripts that write. `queue:<id>` is an entry; `queue:chat:…` has those of a conversation that wait, by due time and id, and
 * `queue:head:…` and `queue:running:…` name its first one and the one that runs. `queue:ready` has all first ones by the time of their next
 * attempt, `queue:expiry` all that do not run, `queue:held` those that an operator holds.
 */
export const queueWriting = `
  local function Q(name) return P .. 'queue:' .. name end
  local function promote(chat)
    local head = redis.call('GET', Q('head:' .. chat))
    if head then
      redis.call('ZREM', Q('ready'), head)
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
    redis.call('ZADD', Q('ready'), nextAt, first)
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
