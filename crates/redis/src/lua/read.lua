-- A page: the head, what proves that the log continues a cursor, and the messages after it. ARGV, after the first two:
-- the cursor, how many messages. Answers {head, kind, created, floor, @prev of the first message after the cursor,
-- messages}, with '' for what there is not.
local after, limit = ARGV[3], tonumber(ARGV[4])

if expired then return {'0-0', '', '', '', '', {}} end
-- A server that takes no writes can still be read.
pcall(adopt)
if not kind then return {'0-0', '', '', '', '', {}} end

local start = '(' .. after
if age and parts(after) < now - age then start = whole(now - age) end
local entries = chained(redis.call('XRANGE', stream, start, '+', 'COUNT', math.max(limit, 1)))
local prev = entries[1] and entries[1][2][2] or ''
if limit == 0 then entries = {} end
return {head, kind, created or '', floor or '', prev, entries}
