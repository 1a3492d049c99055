-- Add to time lines that are there: a late worker must not leave one behind that nobody trims.
-- What is no time line is passed over.   ARGV: prefix, then id and stage of each
for i = 2, #ARGV, 2 do redis.pcall('RPUSHX', ARGV[1] .. 'stages:' .. ARGV[i], ARGV[i + 1]) end
