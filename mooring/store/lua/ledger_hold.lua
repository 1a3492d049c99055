-- Move the end of a worker's lease, if the delivery is still this worker's.
-- KEYS: delivery (hash), unfinished (zset)   ARGV: id, worker, lease in seconds or "inf"
local held = redis.call('HMGET', KEYS[1], 'state', 'worker')
if held[1] ~= 'running' or held[2] ~= ARGV[2] then return 0 end

local ends = '+inf'
if ARGV[3] ~= 'inf' then
  local time = redis.call('TIME')
  ends = time[1] + time[2] / 1000000 + ARGV[3]
end
redis.call('ZADD', KEYS[2], ends, ARGV[1])
return 1
