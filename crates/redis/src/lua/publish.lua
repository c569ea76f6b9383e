-- Appends a message and announces it, or says why not. ARGV, after the first two: kind, maximum, age, tombstones,
-- lifetime, producer, seq, key, version, state, the lengths of the texts, the texts (@key, @version and @deleted where
-- there are any, then names and values in turn). Times are ms; what is not given is ''.
--
-- The first command that writes is one that Redis refuses when it is out of memory: then nothing has happened.
local sort, maximum = ARGV[3], tonumber(ARGV[4])
local asked_age, tombstones, lifetime = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local producer, seq, key, version, state = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local lengths, FIRST = ARGV[13], 14

-- A message that is kept more than this over the maximum lets all over the maximum go.
local SLACK = 100
-- How long a producer's latest seq is remembered.
local REMEMBERED = 5 * 60 * 1000
-- How long an expired channel's keys stay behind, so that its offsets are not used again under a clock that goes back.
local GRACE = 60 * 1000
-- How much one publish clears away at most, of what was due before.
local CHORES = 1000

-- Whether a text is higher than another, as bytes. Lua's own comparison minds the server's locale.
local function higher(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local function later(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

local function enqueue(queue, item)
  local place = redis.call('HINCRBY', hash, queue .. ':next', 1)
  redis.call('HSET', hash, queue .. place, item)
end

-- Calls `look` with each item, oldest first, while it answers true; what was looked at leaves the queue.
local function work_off(queue, look)
  local ends = redis.call('HMGET', hash, queue .. ':first', queue .. ':next')
  local first, last = tonumber(ends[1] or 1), tonumber(ends[2] or 0)
  local done = 0
  while first + done <= last and done < CHORES do
    local field = queue .. whole(first + done)
    local item = redis.call('HGET', hash, field)
    if item and not look(item) then break end
    redis.call('HDEL', hash, field)
    done = done + 1
  end
  if done > 0 then redis.call('HSET', hash, queue .. ':first', whole(first + done)) end
end

local function renew()
  if lifetime then
    redis.call('HSET', hash, 'until', whole(now + lifetime))
    redis.call('PEXPIRE', stream, whole(lifetime + GRACE))
    redis.call('PEXPIRE', hash, whole(lifetime + GRACE))
  elseif expires then
    redis.call('HDEL', hash, 'until')
    redis.call('PERSIST', stream)
    redis.call('PERSIST', hash)
  end
end

local function remember(offset)
  if producer == '' then return end
  local fresh = redis.call('HSET', hash, 'p:' .. producer, seq .. ' ' .. offset .. ' ' .. whole(now)) == 1
  if fresh then enqueue('q', whole(now) .. ' ' .. producer) end
  work_off('q', function(item)
    local at, id = string.match(item, '^(%d+) (.*)$')
    if now - tonumber(at) < REMEMBERED then return false end
    local latest = redis.call('HGET', hash, 'p:' .. id)
    local heard = latest and string.match(latest, ' (%d+)$')
    if heard and now - tonumber(heard) < REMEMBERED then
      enqueue('q', heard .. ' ' .. id)
    else
      redis.call('HDEL', hash, 'p:' .. id)
    end
    return true
  end)
end

-- Takes a message out of a keyed channel that nothing replaced: older cursors can no longer be continued.
local function collect(offset, of)
  redis.call('XDEL', stream, offset)
  if of then redis.call('HDEL', hash, 'k:' .. of) end
  if not floor or later(offset, floor) then
    floor = offset
    redis.call('HSET', hash, 'floor', floor)
  end
end

local function collect_tombstones()
  work_off('t', function(item)
    local due, offset, of = string.match(item, '^(%d+) (%S+) (.*)$')
    if tonumber(due) > now then return false end
    local place = redis.call('HGET', hash, 'k:' .. of)
    -- One that was replaced since has left the stream already, and is nobody's loss.
    if place and string.match(place, '^%S+') == offset then collect(offset, of) end
    return true
  end)
end

local function evict()
  for _ = 1, math.min(redis.call('XLEN', stream) - math.max(maximum, 1), CHORES) do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local of
    for i = 1, #oldest[2], 2 do
      if oldest[2][i] == '@key' then of = oldest[2][i + 1] end
    end
    collect(oldest[1], of)
  end
end

-- In a plain channel the age that held until now counts as well: a longer one brings back nothing.
local function trim()
  local shorter = math.min(age or math.huge, asked_age or math.huge)
  if shorter < now then redis.call('XTRIM', stream, 'MINID', whole(now - shorter)) end
  if asked_age then
    if asked_age ~= age then redis.call('HSET', hash, 'age', whole(asked_age)) end
  elseif age then
    redis.call('HDEL', hash, 'age')
  end
  if redis.call('XLEN', stream) > maximum + SLACK then redis.call('XTRIM', stream, 'MAXLEN', maximum) end
end

adopt()
local least = 0
if expired then
  -- Offsets lie behind those of the channel's earlier life.
  least = parts(head) + 1
  redis.call('DEL', stream, hash)
  head, kind, created, floor, age, expires = '0-0', false, false, false, nil, nil
end
if kind and kind ~= sort then return {'kind', kind} end

if producer ~= '' then
  local latest = redis.call('HGET', hash, 'p:' .. producer)
  if latest then
    local latest_seq, offset = string.match(latest, '^(%d+) (%S+)')
    if #seq < #latest_seq or (#seq == #latest_seq and not higher(seq, latest_seq)) then
      renew()
      return {'duplicate', offset}
    end
  end
end

local replaced
if sort == 'keyed' then
  local place = redis.call('HGET', hash, 'k:' .. key)
  if place then
    local offset, standing = string.match(place, '^(%S+) (.*)$')
    if not higher(version, standing) then
      renew()
      remember(offset)
      return {version == standing and 'duplicate' or 'superseded', offset}
    end
    replaced = offset
  end
end

local head_ms, head_seq = parts(head)
local ms, number = math.max(now, least), 0
if ms <= head_ms then ms, number = head_ms, head_seq + 1 end
local id = whole(ms) .. '-' .. whole(number)
redis.call('XADD', stream, id, '@prev', head, unpack(ARGV, FIRST))
redis.call('HSET', hash, 'head', id, 'kind', sort)
if sort == 'keyed' then
  if not created then redis.call('HSET', hash, 'created', id) end
  redis.call('HSET', hash, 'k:' .. key, id .. ' ' .. version)
  if replaced then redis.call('XDEL', stream, replaced) end
  if state == 'tombstone' then enqueue('t', whole(now + tombstones) .. ' ' .. id .. ' ' .. key) end
  collect_tombstones()
  evict()
else
  trim()
end
remember(id)
renew()
tell(id, head, lengths, table.concat(ARGV, '', FIRST))
return {'appended', id}
