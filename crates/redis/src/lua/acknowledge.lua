-- Settles messages of a group. ARGV, after the first two: group, offsets. Answers how many were held.
-- As many as Lua can hand over at once.
local AT_ONCE = 1000

if expired then return 0 end
local settled = 0
for first = 4, #ARGV, AT_ONCE do
  settled = settled + redis.call('XACK', stream, ARGV[3], unpack(ARGV, first, math.min(first + AT_ONCE - 1, #ARGV)))
end
return settled
