-- Make a finished delivery a received one again, with only the first stage of its time line.
-- KEYS: delivery (hash), stages (list), unfinished (zset), finished (zset)
-- ARGV: id, seconds to be enqueued in
if redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'state', 'received', 'outcome', '')
redis.call('HDEL', KEYS[1], 'worker', 'attempts')
redis.call('LTRIM', KEYS[2], 0, 0)
redis.call('ZADD', KEYS[3], redis.call('TIME')[1] + ARGV[2], ARGV[1])
return 1
