/* A server of one value by key, kept as files in the working directory. Lines: `set KEY VALUE`, `get KEY`. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void ended(int number)
{
	dprintf(1, "bye on signal %d\n", number);
	_exit(0);
}

static void answer(const char *line, int out)
{
	char key[65] = "", value[257] = "";

	if (sscanf(line, "set %64[a-z] %256s", key, value) == 2) {
		FILE *file = fopen(key, "w");
		if (file == NULL || fputs(value, file) == EOF || fclose(file) != 0)
			dprintf(out, "error\n");
		else
			dprintf(out, "ok\n");
	} else if (sscanf(line, "get %64[a-z]", key) == 1) {
		FILE *file = fopen(key, "r");
		if (file != NULL && fgets(value, sizeof value, file) != NULL)
			dprintf(out, "%s\n", value);
		else
			dprintf(out, "none\n");
		if (file != NULL)
			fclose(file);
	} else {
		dprintf(out, "error\n");
	}
}

static int open_port(int port, int listening)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(listening ? INADDR_ANY : INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (listening ? bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8)
		      : connect(fd, (struct sockaddr *)&address, sizeof address)) {
		perror("kv-server");
		exit(1);
	}
	return fd;
}

static void serve(int port)
{
	int listener = open_port(port, 1);
	char line[400];

	signal(SIGINT, ended);
	signal(SIGTERM, ended);
	printf("uid %d serves port %d from %s\n", getuid(), port, getcwd(line, sizeof line));
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		ssize_t size = read(fd, line, sizeof line - 1);
		if (size > 0) {
			line[size] = 0;
			answer(line, fd);
		}
		close(fd);
	}
}

static int ask(int port, const char *verb, int count, char **words)
{
	int fd = open_port(port, 0);
	char line[400];
	ssize_t size;

	dprintf(fd, "%s %s %s\n", verb, words[0], count > 1 ? words[1] : "");
	while ((size = read(fd, line, sizeof line)) > 0)
		if (write(1, line, size) != size)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	int port = 6399, at = 1;

	if (argc > 2 && strcmp(argv[1], "--port") == 0) {
		port = atoi(argv[2]);
		at = 3;
	}
	if (argc > at + 1 && strncmp(argv[at], "--", 2) == 0)
		return ask(port, argv[at] + 2, argc - at - 1, argv + at + 1);
	serve(port);
}
