#include "squash.h"

#include <stdlib.h>
#include <zlib.h>

size_t squashed(const char *data, size_t size)
{
	uLongf room = compressBound(size);
	Bytef *out = malloc(room);
	int result = out == NULL ? Z_MEM_ERROR : compress2(out, &room, (const Bytef *)data, size, 9);

	free(out);
	return result == Z_OK ? room : 0;
}
