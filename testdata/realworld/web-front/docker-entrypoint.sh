#!/bin/bash
# Runs what stands in /docker-entrypoint.d, then the command; `check` asks a running server, `once` starts one, asks and ends it.
set -e
ask() {
	exec 3<> "/dev/tcp/127.0.0.1/$PORT"
	printf 'GET %s HTTP/1.0\r\n\r\n' "${1:-/}" >&3
	cat <&3
}
if [ "$1" = check ]; then
	ask > /dev/null
	exit
fi
for part in /docker-entrypoint.d/*.sh; do
	"$part"
done
if [ "$1" != once ]; then
	exec "$@"
fi
nginx -g 'daemon off;' &
until ask / > /dev/null 2>&1; do sleep 0.05; done
ask "$2"
kill -QUIT "$!"
wait
