#include <stddef.h>

/* The size of what zlib makes of some bytes; 0 where it fails. */
size_t squashed(const char *data, size_t size);
