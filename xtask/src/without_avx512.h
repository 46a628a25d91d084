/* Lets ../shared/peers/limits.c build where the processor has no AVX-512: its copies by such instructions, which no table here
 * shows, are then made by the bytes of a type of the same size. */
#include <immintrin.h>
#ifndef __AVX512F__
typedef struct { char bytes[64]; } wide;
#define _mm512_load_si512(from) (*(const wide *)(from))
#define _mm512_store_si512(to, value) ((void)(*(wide *)(to) = (value)))
#define _mm512_stream_si512(to, value) ((void)(*(wide *)(to) = (value)))
#endif
