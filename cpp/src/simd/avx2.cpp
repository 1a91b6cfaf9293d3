#define PYHYBRID_LEVEL kAvx2
#define PYHYBRID_LEVEL_NAME "avx2"
#define PYHYBRID_VECTOR_BYTES 32
#include "simd/loops.inl"
