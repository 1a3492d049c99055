#!/bin/sh
# Makes the users of Redis from the URLs that its clients are given, then becomes Redis, for the chart and for
# compose.yaml:
# redis.sh URLS CONFIG RUN [ARGUMENT OF redis-server…]
# URLS holds the files `url` and `web-url`, CONFIG redis.conf; RUN is where the users are written, as
# digests: no password is in a command line or in the environment.
set -eu
umask 077
urls=$1 config=$2 run=$3
shift 3

# digest FILE USER: of the password that the file's URL has for the user.
digest() {
    password=$(sed -n "s|^redis://$2:\([A-Za-z0-9._~-]\{16,\}\)@.*\$|\1|p" "$urls/$1")
    if [ -z "$password" ]; then
        echo "the Secret's key $1 must be redis://$2:PASSWORD@HOST:6379/0," \
            "PASSWORD at least 16 letters, digits, or any of . _ ~ -" \
            "(with Compose, it is the file secrets/redis-$1)" >&2
        return 1
    fi
    printf %s "$password" | sha256sum | cut -d ' ' -f 1
}

mooring=$(digest url mooring)
web=$(digest web-url mooring-web)
# The rules are from mooring/store/acl.py. Nobody in particular may ask whether Redis is alive.
cat > "$run/users.acl" <<USERS
user default reset on nopass +ping
user mooring reset on #$mooring ~mooring:* &* +@all -@admin -@dangerous +info
user mooring-web reset on #$web ~mooring:ledger:* ~mooring:view:* ~mooring:queue:intake +auth +hello +ping +select +evalsha +script|load +time +hget +hset +hgetall +hvals +zcard +zadd +xadd +xrevrange +rpush +lpush +lrange
USERS
exec redis-server "$config/redis.conf" --aclfile "$run/users.acl" "$@"
