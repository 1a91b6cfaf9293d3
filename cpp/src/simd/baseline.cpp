#define PYHYBRID_LEVEL kBaseline
#define PYHYBRID_LEVEL_NAME "baseline"
#define PYHYBRID_VECTOR_BYTES 16
#include "simd/loops.inl"
