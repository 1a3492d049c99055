-- Take a delivery for a worker, unless another holds it or it is finished. Gives the number of the attempt.
-- KEYS: delivery (hash), unfinished (zset)   ARGV: id, worker, lease in seconds
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'succeeded' or state == 'failed' then return 0 end

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
if state == 'running' and redis.call('HGET', KEYS[1], 'worker') ~= ARGV[2]
  and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1])) > now then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return redis.call('HINCRBY', KEYS[1], 'attempts', 1)
