-- Move the end of a worker's lease on deliveries, of which only those that are still this worker's.
-- KEYS: unfinished (zset)   ARGV: prefix, worker, lease in seconds or "inf", id…   Gives their number.
local ends = '+inf'
if ARGV[3] ~= 'inf' then
  local time = redis.call('TIME')
  ends = time[1] + time[2] / 1000000 + ARGV[3]
end
local moved = 0
for i = 4, #ARGV do
  local held = redis.pcall('HMGET', ARGV[1] .. 'delivery:' .. ARGV[i], 'state', 'worker')
  if held[1] == 'running' and held[2] == ARGV[2] then
    redis.call('ZADD', KEYS[1], ends, ARGV[i])
    moved = moved + 1
  end
end
return moved
