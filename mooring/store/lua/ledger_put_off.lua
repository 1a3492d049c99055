-- Give deliveries back untried, to be enqueued again later; only those that are still this worker's.
-- KEYS: unfinished (zset)   ARGV: prefix, worker, seconds to wait, id…
local time = redis.call('TIME')
local at = time[1] + time[2] / 1000000 + ARGV[3]
for i = 4, #ARGV do
  local delivery = ARGV[1] .. 'delivery:' .. ARGV[i]
  local held = redis.pcall('HMGET', delivery, 'state', 'worker')
  if held[1] == 'running' and held[2] == ARGV[2] then
    -- Its worker lived: what is counted as a death was none.
    if redis.pcall('HINCRBY', delivery, 'attempts', -1) == 0 then redis.call('HDEL', delivery, 'attempts') end
    redis.call('HSET', delivery, 'state', 'received')
    redis.call('ZADD', KEYS[1], at, ARGV[i])
  end
end
