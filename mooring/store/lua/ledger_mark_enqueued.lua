-- A task for the delivery is on the queue. It now merely waits, however long that takes.
-- KEYS: delivery (hash), stages (list), unfinished (zset)   ARGV: id, stage…
local state = redis.call('HGET', KEYS[1], 'state')
if not state then redis.call('ZREM', KEYS[3], ARGV[1]) return 0 end
for i = 2, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end

if state == 'running' then
  -- A quick worker may have begun before its sender came to say so; only a lapsed lease is reset.
  local lease_end = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]))
  local time = redis.call('TIME')
  if lease_end > time[1] + time[2] / 1000000 then return 0 end
elseif state ~= 'received' then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'enqueued')
redis.call('ZADD', KEYS[3], '+inf', ARGV[1])
return 1
