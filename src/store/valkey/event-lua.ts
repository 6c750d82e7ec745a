/** What an event or a known state takes beside its text. */
const entryBytes = 120

/** How many events one script drops: a few milliseconds. */
const dropRows = 500

/** Clocks of several gateways differ by less. */
const leapMs = 60_000

/** Whether a log is there; for all scripts. */
export const logReading = `
  local function markOf(account)
    local key = P .. 'log:' .. account
    local identity = redis.call('HGET', key, 'identity')
    if not identity then return end
    return {identity, redis.call('HGET', key, 'trimmed'), redis.call('HGET', key, 'last')}
  end
`

/**
 * What scripts that write share: the ledger's own announce the end of a send in the step that ends it.
 *
 * `keep` keeps a value in a hash, or with an empty one deletes it, and counts its bytes with those `beside` it.
 * `announce(row)` is for each change of a send after its POST was answered. It never fails: where a right is missing, the ledger goes on.
 */
export const logWriting = `
  local function holds(name, fence)
    return string.match(redis.call('HGET', P .. 'fences', name) or '', '^%d+') == fence
  end
  local function keep(key, field, value, beside)
    beside = beside or 0
    local before = redis.call('HGET', key, field)
    local bytes = before and -(#before + #field + beside) or 0
    if value == '' then redis.call('HDEL', key, field)
    else
      redis.call('HSET', key, field, value)
      bytes = bytes + #value + #field + beside
    end
    redis.call('INCRBY', P .. 'bytes', bytes)
  end
  local function know(account, key, value) keep(P .. 'states:' .. account, key, value, ${entryBytes}) end

  local function eventBytes(fields) return #fields[2] + #fields[4] + ${entryBytes} end
  local function add(call, account, destination, body)
    local last = tonumber(redis.call('HGET', P .. 'log:' .. account, 'last'))
    local position = string.format('%.0f', math.max(last + 1, now * 1000))
    local added = call('XADD', P .. 'events:' .. account, position, 'd', destination, 'e', body)
    if type(added) == 'table' then return end
    redis.call('HSET', P .. 'log:' .. account, 'last', position)
    redis.call('INCRBY', P .. 'bytes', eventBytes({'d', destination, 'e', body}))
    return position
  end
  local function log(account, destination, body) return add(redis.call, account, destination, body) end

  local function announce(row)
    if not markOf(row.account) then return end
    local send = {}
    for name, value in pairs(row) do send[name] = value end
    send.fingerprint, send.textDigest, send.user, send.owner = nil, nil, nil, nil
    for _, name in ipairs({'createdAt', 'settledAt', 'deliveryAt', 'dueAt', 'expiresAt', 'startedAt'}) do send[name] = tonumber(row[name]) end
    local event = {type = 'send.updated', at = now, platform = row.platform, platformId = row.platformId, destination = row.destination,
      messageId = row.messageId or cjson.null, direction = 'out', sender = {caller = row.caller, account = row.account}, send = cjson.encode(send)}
    add(redis.pcall, row.account, row.destination, cjson.encode(event))
  end

  local function dropEvents(account, before)
    local entries = redis.call('XRANGE', P .. 'events:' .. account, '-', before and '(' .. before or '+', 'COUNT', ${dropRows})
    if #entries == 0 then return 0 end
    local bytes = 0
    for _, entry in ipairs(entries) do bytes = bytes + eventBytes(entry[2]) end
    local last = string.match(entries[#entries][1], '^%d+')
    redis.call('XTRIM', P .. 'events:' .. account, 'MINID', last .. '-1')
    redis.call('HSET', P .. 'log:' .. account, 'trimmed', last)
    redis.call('DECRBY', P .. 'bytes', bytes)
    return #entries
  end
  -- The same where positions run ahead of the time, because a clock did: then the events' own times count. An event that is too old takes
  -- those before it with it, but none that is to be kept. One from far ahead tells no time: it goes with an older one behind it.
  local function dropAfterLeap(account, from, to)
    if tonumber(redis.call('HGET', P .. 'log:' .. account, 'last') or 0) <= (now + ${leapMs}) * 1000 then return 0 end
    local start, last, entries = '-', nil, nil
    repeat
      entries = redis.call('XRANGE', P .. 'events:' .. account, start, '+', 'COUNT', ${dropRows})
      for _, entry in ipairs(entries) do
        local at = tonumber(string.match(entry[2][4], '"at":(%d+)')) or math.huge
        if at >= from and at <= to then return last and dropEvents(account, last .. '-1') or 0 end
        if at < from then last = string.match(entry[1], '^%d+') end
        start = '(' .. entry[1]
      end
    until last or #entries < ${dropRows}
    return last and dropEvents(account, last .. '-1') or 0
  end
`
