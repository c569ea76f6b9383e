-- Takes messages for a consumer of a group. ARGV, after the first two: group, consumer, how many, the idle time that
-- counts as silence (ms), where a new group begins. Answers a list of {offset, fields, deliveries}.
local group, consumer, count = ARGV[3], ARGV[4], tonumber(ARGV[5])
local idle, from = ARGV[6], ARGV[7]

-- How often one claim looks further for messages of silent consumers. Redis looks at ten times `count` each time; where
-- more are held than that, the next claim goes on where this one ended.
local LOOKS = 10

if expired or count == 0 then return {} end
adopt()
if not kind then return {} end
if age and age < now then redis.call('XTRIM', stream, 'MINID', whole(now - age)) end

local taken = {}
local cursor = redis.call('HGET', hash, 'c:' .. group) or '0-0'
local began = cursor
for _ = 1, LOOKS do
  local found = redis.pcall('XAUTOCLAIM', stream, group, consumer, idle, cursor, 'COUNT', count - #taken)
  if found.err then
    if not string.find(found.err, 'NOGROUP', 1, true) then return found end
    redis.call('XGROUP', 'CREATE', stream, group, from)
    break
  end
  for _, entry in ipairs(chained(found[2])) do
    local pending = redis.call('XPENDING', stream, group, entry[1], entry[1], 1)
    taken[#taken + 1] = {entry[1], entry[2], pending[1] and pending[1][4] or 1}
  end
  cursor = found[1]
  if cursor == '0-0' or #taken == count then break end
end
if cursor ~= began then
  if cursor == '0-0' then
    redis.call('HDEL', hash, 'c:' .. group)
  else
    redis.call('HSET', hash, 'c:' .. group, cursor)
  end
end

if #taken < count then
  local fresh = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #taken, 'STREAMS', stream, '>')
  for _, entry in ipairs(chained(fresh and fresh[1][2] or {})) do
    taken[#taken + 1] = {entry[1], entry[2], 1}
  end
end
return taken
