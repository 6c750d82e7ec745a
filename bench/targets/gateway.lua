-- The whole job in Lua: key, path and body checked, form posted with the credentials, envelope decoded, error translated, clean JSON out.
local cjson = require 'cjson.safe'
local ffi = require 'ffi'

ffi.cdef 'unsigned char *SHA256(const unsigned char *data, size_t length, unsigned char *digest);'

local ngx, null = ngx, cjson.null
local match, find, escape = string.match, string.find, ngx.escape_uri
local platforms = { webchat = true, whatsapp = true, telegram = true, operator = true }
local digest = ffi.new 'unsigned char[32]'

local function sha256(text)
  ffi.C.SHA256(text, #text, digest)
  return ffi.string(digest, 32)
end

local function answer_with(status, body)
  ngx.status = status
  ngx.header.content_length = #body
  ngx.print(body)
end

local function refuse(status, code)
  ngx.header.content_type = 'application/problem+json'
  answer_with(status, '{"status":' .. status .. ',"code":"' .. code .. '"}')
end

local function is_id(text)
  return #text >= 1 and #text <= 128 and not find(text, '%c')
end

local function text(value)
  if value == nil then return null end
  if type(value) == 'string' or value == null then return value end
  return tostring(value)
end

local function messages(list)
  local items = {}
  for i = 1, #list do
    local row = list[i]
    local sent = row.sent == '1' or row.sent == true or row.sent == 1
    items[i] = {
      platform = text(row.platform),
      platformId = text(row.platformid),
      destination = text(row.destination),
      messageId = text(row.messageid),
      message = text(row.message),
      sent = sent,
      direction = sent and 'out' or 'in',
      status = text(row.status),
      datetime = text(row.datetime),
    }
  end
  return #items == 0 and '[]' or cjson.encode(items)
end

-- The text of a message's body, or nothing.
local function message_of(body)
  local message = type(body) == 'table' and body.message
  if type(message) ~= 'string' or message == '' then return nil end
  for name in pairs(body) do
    if name ~= 'message' and name ~= 'reference' then return nil end
  end
  return message
end

return function(path)
  local file = assert(io.open(path))
  local config = assert(cjson.decode(file:read '*a'))
  file:close()
  local faults = config.faults
  local credentials = 'class=chat&user=' .. escape(config.user) .. '&password=' .. escape(config.password) .. '&method='
  local known_key = config.keySha256:gsub('%x%x', function(hex) return string.char(tonumber(hex, 16)) end)

  return function()
    local var = ngx.var
    local key = match(var.http_authorization or '', '^[Bb]earer (%S+)$')
    if not key or sha256(key) ~= known_key then return refuse(401, 'unauthenticated') end

    local platform, platform_id, destination = var[1], var[2], var[3]
    if not platforms[platform] or not is_id(platform_id) or not is_id(destination) then return refuse(400, 'invalid-request') end
    if platform == 'whatsapp' and find(destination, '[,;|%s]') then return refuse(400, 'invalid-request') end
    local chat = '&platform=' .. platform .. '&platformid=' .. escape(platform_id) .. '&destination=' .. escape(destination)

    local method = var.request_method
    local form
    if method == 'GET' then
      form = credentials .. 'getmessages' .. chat
    elseif method == 'POST' then
      ngx.req.read_body()
      local message = message_of(cjson.decode(ngx.req.get_body_data() or ''))
      if not message then return refuse(400, 'invalid-request') end
      form = credentials .. 'sendmessage' .. chat .. '&message=' .. escape(message)
    else
      return refuse(405, 'method-not-allowed')
    end

    local answer = ngx.location.capture('/afilnet', { method = ngx.HTTP_POST, body = form })
    local envelope = answer.status == 200 and not answer.truncated and cjson.decode(answer.body)
    if type(envelope) ~= 'table' then return refuse(502, 'upstream-error') end
    if envelope.status ~= 'SUCCESS' then
      local fault = faults[envelope.error] or faults.unknown
      return refuse(fault.status, fault.code)
    end

    if method == 'POST' then
      return answer_with(201, cjson.encode {
        kind = 'message', platform = platform, platformId = platform_id, destination = destination, state = 'accepted',
      })
    end
    local result = envelope.result
    answer_with(200, '{"items":' .. messages(type(result) == 'table' and result.list or {}) .. '}')
  end
end
