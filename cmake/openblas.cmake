# The target OpenBLAS::OpenBLAS and its folder, openblas_dir, from the PyPI package scipy-openblas32.
find_package(Python REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND ${Python_EXECUTABLE} -c "import scipy_openblas32 as o; print(o.get_lib_dir())"
  OUTPUT_VARIABLE openblas_dir OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE openblas_missing)
if(openblas_missing)
  message(FATAL_ERROR "the core's tests and microbenchmark take their BLAS from the Python package scipy-openblas32, "
    "which ${Python_EXECUTABLE} does not have: pip install scipy-openblas32, "
    "or pass -DPython_EXECUTABLE=")
endif()
find_package(OpenBLAS CONFIG REQUIRED PATHS ${openblas_dir}/cmake/openblas NO_DEFAULT_PATH)
