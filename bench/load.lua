-- Sends the requests of a file in turn, each @KEY@ in them replaced by a number of its own, and prints what came of it as one line of JSON.
local requests, count, turn, keys, run = {}, 0, 0, 0, ''

function init(args)
  local file = assert(io.open(args[1]))
  for raw in file:read('*a'):gmatch '%Z+' do
    local before, after = raw:match '^(.-)@KEY@(.*)$'
    count = count + 1
    requests[count] = before and { before, after } or raw
  end
  file:close()
  run = args[2] .. '-'
end

function request()
  turn = turn % count + 1
  local raw = requests[turn]
  if type(raw) == 'string' then return raw end
  keys = keys + 1
  return raw[1] .. run .. keys .. raw[2]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(('{"requests":%d,"seconds":%.6f,"bytes":%d,"failed":%d,"broken":%d,"p50":%.3f,"p99":%.3f}\n'):format(
    summary.requests, summary.duration / 1e6, summary.bytes, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
end
