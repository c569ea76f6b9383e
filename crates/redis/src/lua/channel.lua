-- What every script begins with: the channel as it stands now. A channel is a stream (KEYS[1]) and, beside it, a hash
-- (KEYS[2]) with all that is known of it besides its messages. Both exist or neither does, except where another program
-- has begun the stream, so that a cluster can move them without a script ever seeing half of a channel.
--
-- Fields of the hash: head, kind, created, floor (keyed), age (ms), until (when it expires, ms since 1970),
-- k:<key> "<offset> <version>", p:<producer> "<seq> <offset> <ms>", c:<group> (where the next search for silent
-- consumers begins), and two queues, first in first out, of what is to be looked at later: t (tombstones), q (producers),
-- each with <name>:first and <name>:next beside its numbered items.
local stream, hash = KEYS[1], KEYS[2]
local announce, audience = ARGV[1], ARGV[2]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', hash, 'head', 'kind', 'created', 'floor', 'age', 'until')
local head, kind, created, floor = known[1] or '0-0', known[2], known[3], known[4]
local age, expires = tonumber(known[5] or nil), tonumber(known[6] or nil)
local expired = expires ~= nil and expires <= now

local function parts(offset)
  local ms, seq = string.match(offset, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

-- Whole numbers up to 2^53; Lua's own form would become 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- What follows a message says about it: what stands before it in the stream. Messages of ours say it themselves; those
-- that another program added do not, and are judged by what is still there. An oldest message that was not the first one
-- names itself: it continues nothing.
local function before(id)
  local found = redis.call('XREVRANGE', stream, '(' .. id, '-', 'COUNT', 1)
  if found[1] then return found[1][1] end
  local info = redis.call('XINFO', 'STREAM', stream)
  local about = {}
  for i = 1, #info, 2 do about[info[i]] = info[i + 1] end
  if about['entries-added'] == about['length'] then return '0-0' end
  return id
end

-- Gives entries that have none their @prev, as their first field.
local function chained(entries)
  for _, entry in ipairs(entries) do
    if entry[2][1] ~= '@prev' then
      table.insert(entry[2], 1, before(entry[1]))
      table.insert(entry[2], 1, '@prev')
    end
  end
  return entries
end

-- An announcement: "<offset> <prev> <length of each text>…\n", then the texts themselves.
local function tell(id, prev, lengths, texts)
  redis.call(announce, audience, id .. ' ' .. prev .. ' ' .. lengths .. '\n' .. texts)
end

-- Takes in what another program has added to the stream since anybody looked: from then on it is the head, and the
-- newest of it is announced. Whoever hears of it and lacks what stands before it reads the log.
local function adopt()
  if expired or not redis.call('XRANGE', stream, '(' .. head, '+', 'COUNT', 1)[1] then return end
  local newest = chained(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1))[1]
  head, kind = newest[1], kind or 'plain'
  redis.call('HSET', hash, 'head', head, 'kind', kind)
  local lengths, texts = {}, {}
  for i = 3, #newest[2] do
    texts[#texts + 1] = newest[2][i]
    lengths[#lengths + 1] = #newest[2][i]
  end
  tell(newest[1], newest[2][2], table.concat(lengths, ' '), table.concat(texts))
end
