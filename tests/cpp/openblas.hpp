// The table of BLAS routines, filled from the PyPI package scipy-openblas32 (its names are
// prefixed with scipy_).
#pragma once

#include "pyhybrid/blas.hpp"

extern "C" {
void scipy_sgemm_(char*, char*, int*, int*, int*, float*, float*, int*, float*, int*, float*,
                  float*, int*);
void scipy_ssyrk_(char*, char*, int*, int*, float*, float*, int*, float*, float*, int*);
void scipy_strsm_(char*, char*, char*, char*, int*, int*, float*, float*, int*, float*, int*);
void scipy_strmm_(char*, char*, char*, char*, int*, int*, float*, float*, int*, float*, int*);
void scipy_spotrf_(char*, int*, float*, int*, int*);
void scipy_strtri_(char*, char*, int*, float*, int*, int*);
void scipy_slauum_(char*, int*, float*, int*, int*);
int scipy_openblas_get_num_threads();
void scipy_openblas_set_num_threads(int);
}

inline const pyhybrid::Blas openblas{scipy_sgemm_,
                                     scipy_ssyrk_,
                                     scipy_strsm_,
                                     scipy_strmm_,
                                     scipy_spotrf_,
                                     scipy_strtri_,
                                     scipy_slauum_,
                                     scipy_openblas_get_num_threads,
                                     scipy_openblas_set_num_threads};
