#define PYHYBRID_LEVEL kAvx512IceLake
#define PYHYBRID_LEVEL_NAME "avx512"
#define PYHYBRID_VECTOR_BYTES 64
#include "simd/loops.inl"
