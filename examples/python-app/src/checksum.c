/* Prints the Adler-32 checksum of its argument (RFC 1950, section 9). */
#include <stdio.h>

int main(int argc, char **argv)
{
    unsigned a = 1, b = 0;
    if (argc != 2)
        return 2;
    for (const unsigned char *p = (const unsigned char *)argv[1]; *p; p++) {
        a = (a + *p) % 65521;
        b = (b + a) % 65521;
    }
    printf("%08x\n", b << 16 | a);
    return 0;
}
