#!/bin/sh
set -e

# options alone are options of the server
if [ "${1#-}" != "$1" ]; then
	set -- kv-server "$@"
fi

# as root, the data becomes the server's and root is left behind
if [ "$1" = 'kv-server' ] && [ "$(id -u)" = '0' ]; then
	find . \! -user kv -exec chown kv '{}' +
	exec gosu kv "$0" "$@"
fi

umask 0077
exec "$@"
