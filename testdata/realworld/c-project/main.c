#include "squash.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: squash WORD\n");
		return 2;
	}
	printf("%zu bytes become %zu\n", strlen(argv[1]), squashed(argv[1], strlen(argv[1])));
	return 0;
}
