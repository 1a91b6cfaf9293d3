// The dense linear algebra that the core stands on, handed in by whoever embeds it.
#pragma once

namespace pyhybrid {

/// Fortran BLAS and LAPACK routines with 32-bit integers (LP64), column-major, arguments by
/// address. The Python bindings fill it from SciPy; a C++ host from any BLAS.
struct Blas {
  using Char = char*;
  using Int = int*;
  using Real = float*;

  void (*sgemm)(Char transa, Char transb, Int m, Int n, Int k, Real alpha, Real a, Int lda, Real b,
                Int ldb, Real beta, Real c, Int ldc);
  void (*ssyrk)(Char uplo, Char trans, Int n, Int k, Real alpha, Real a, Int lda, Real beta, Real c,
                Int ldc);
  void (*strsm)(Char side, Char uplo, Char transa, Char diag, Int m, Int n, Real alpha, Real a,
                Int lda, Real b, Int ldb);
  void (*strmm)(Char side, Char uplo, Char transa, Char diag, Int m, Int n, Real alpha, Real a,
                Int lda, Real b, Int ldb);
  void (*spotrf)(Char uplo, Int n, Real a, Int lda, Int info);
  void (*strtri)(Char uplo, Char diag, Int n, Real a, Int lda, Int info);
  void (*slauum)(Char uplo, Int n, Real a, Int lda, Int info);

  /// How many threads the routines use, for the whole process; both null if that can't be set.
  int (*get_threads)() = nullptr;
  void (*set_threads)(int threads) = nullptr;
};

}  // namespace pyhybrid
