import { grow, read, type Script, write } from './lua.ts'

const mostRequests = 100

const keeping = `
  local function failedOf(name) return P .. 'failed:' .. name end
  local function orderOf(name) return P .. 'failed-order:' .. name end
  local function clear(name, position)
    keep(failedOf(name), position, '')
    redis.call('ZREM', orderOf(name), position)
  end
  local function fail(name, position, row)
    keep(failedOf(name), position, row)
    redis.call('ZADD', orderOf(name), position, position)
  end
`

/**
 * Webhooks, one atomic step each.
 *
 * `webhooks` names them, `webhook:<name>` has the account and what its deliverer saved, `failed:<name>` and `failed-order:<name>` what its
 * endpoint refused, by position, and `requests:<name>` what operators asked for, by number.
 */
export const deliveryScripts = {
  webhook: read(`
    local key = P .. 'webhook:' .. ARGV[9]
    return {redis.call('HGET', key, 'account'), redis.call('HGET', key, 'state'), redis.call('HGETALL', P .. 'requests:' .. ARGV[9])}`),

  save: grow(`${keeping}
    local name, lease, fence, account, state, handled, after = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], tonumber(ARGV[14]), ARGV[15]
    local cleared = tonumber(ARGV[16])
    if not holds(lease, fence) then return {over(), 0} end
    redis.call('SADD', P .. 'webhooks', name)
    keep(P .. 'webhook:' .. name, 'account', account)
    keep(P .. 'webhook:' .. name, 'state', state)
    if after ~= '' then
      for _, position in ipairs(redis.call('ZRANGEBYSCORE', orderOf(name), '(' .. after, '+inf')) do clear(name, position) end
    end
    for i = 17, 16 + cleared do clear(name, ARGV[i]) end
    for i = 17 + cleared, #ARGV, 2 do fail(name, ARGV[i], ARGV[i + 1]) end
    local requests = P .. 'requests:' .. name
    local flat = redis.call('HGETALL', requests)
    for i = 1, #flat, 2 do
      if tonumber(flat[i]) and tonumber(flat[i]) <= handled then keep(requests, flat[i], '') end
    end
    return {over(), 1}`),

  request: grow(`
    local requests = P .. 'requests:' .. ARGV[9]
    local id = redis.call('HINCRBY', requests, 'last', 1)
    keep(requests, tostring(id), ARGV[10])
    keep(requests, tostring(id - ${mostRequests}), '')
    return {over()}`),

  failed: read(`
    local found = {}
    local key = P .. 'failed:' .. ARGV[9]
    for _, position in ipairs(redis.call('ZRANGEBYSCORE', P .. 'failed-order:' .. ARGV[9], '(' .. ARGV[10], '+inf', 'LIMIT', 0, ARGV[11])) do
      found[#found + 1] = redis.call('HGET', key, position)
    end
    return found`),

  /** Those before a time, a slice of one webhook after a position; answers also where to go on. One from a clock that was far ahead goes with an older one behind it. */
  deleteFailed: write(`${keeping}
    local name, from, to, ahead, gone = ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]), {}, 0
    local positions = redis.call('ZRANGEBYSCORE', orderOf(name), '(' .. ARGV[12], '+inf', 'LIMIT', 0, 200)
    for _, position in ipairs(positions) do
      local row = redis.call('HGET', failedOf(name), position)
      local at = row and cjson.decode(row).at or 0
      if at >= from and at <= to then return {over(), gone, ''} end
      ahead[#ahead + 1] = position
      if at < from then
        for _, old in ipairs(ahead) do clear(name, old) end
        gone, ahead = gone + #ahead, {}
      end
    end
    return {over(), gone, positions[200] or ''}`),

  /** A slice of what a webhook failed to deliver of a destination, after a position; answers the last that was looked at. */
  forgetFailed: write(`${keeping}
    local name, destination, rows = ARGV[9], ARGV[10], tonumber(ARGV[12])
    local positions = redis.call('ZRANGEBYSCORE', orderOf(name), '(' .. ARGV[11], '+inf', 'LIMIT', 0, rows)
    for _, position in ipairs(positions) do
      local row = redis.call('HGET', failedOf(name), position)
      if row and cjson.decode(row).destination == destination then clear(name, position) end
    end
    return {over(), positions[rows] or ''}`),

  load: grow(`${keeping}
    local name = ARGV[9]
    if redis.call('EXISTS', P .. 'webhook:' .. name) == 1 then return {over(), 0} end
    redis.call('SADD', P .. 'webhooks', name)
    keep(P .. 'webhook:' .. name, 'account', ARGV[10])
    keep(P .. 'webhook:' .. name, 'state', ARGV[11])
    for i = 12, #ARGV, 2 do fail(name, ARGV[i], ARGV[i + 1]) end
    return {over(), 1}`),
} as const satisfies Record<string, Script>
