# The CUDA backend: a shared object of its own, which the engine loads from its own folder when a GPU
# is first asked for. Nothing else links to CUDA.
if(NOT NORMLAB_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "NORMLAB_CUDA must be AUTO, ON or OFF, is ${NORMLAB_CUDA}")
endif()
if(NORMLAB_CUDA STREQUAL "OFF")
  return()
endif()
find_package(CUDAToolkit 12.4 QUIET)
if(NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE OR NOT TARGET CUDA::cublasLt)
  if(NORMLAB_CUDA STREQUAL "ON")
    message(FATAL_ERROR "NORMLAB_CUDA=ON needs the CUDA toolkit, 12.4 or newer, with nvcc and "
      "cuBLASLt. Install it, or point CUDAToolkit_ROOT to it.")
  endif()
  message(STATUS "normlab: no CUDA toolkit, so no CUDA backend")
  return()
endif()
if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  # Ampere, Ada and Hopper as they are; PTX of the last for what comes later.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90)
endif()
enable_language(CUDA)

file(GLOB cuda_sources CONFIGURE_DEPENDS src/*/*.cu)
add_library(normlab_cuda MODULE ${cuda_sources})
target_include_directories(normlab_cuda PRIVATE src include ${generated})
if(cuda_std_20 IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
  target_compile_features(normlab_cuda PRIVATE cuda_std_20)
else()
  # CMake 3.25 does not know that nvcc has C++20.
  target_compile_options(normlab_cuda PRIVATE -std=c++20)
endif()
# elementwise_table.h is the CPU's too: its lambdas run on the device because they are constexpr.
# Compressed, the kernels of all architectures take a fifth of the space.
target_compile_options(normlab_cuda PRIVATE --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra
  -Xfatbin=-compress-all
  $<$<BOOL:${NORMLAB_WERROR}>:-Xcompiler=-Werror -Werror=all-warnings>)
target_link_libraries(normlab_cuda PRIVATE CUDA::cublasLt)
get_target_property(blas CUDA::cublasLt IMPORTED_LOCATION)
file(REAL_PATH ${blas} blas)
cmake_path(GET blas PARENT_PATH blas_folder)
set_target_properties(normlab_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static
  CUDA_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON
  # cuBLASLt is the toolkit's, or that of NVIDIA's wheels beside the Python package.
  BUILD_WITH_INSTALL_RPATH ON
  INSTALL_RPATH "${blas_folder};$ORIGIN/../nvidia/cu13/lib;$ORIGIN/../nvidia/cublas/lib"
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/engine)
install(TARGETS normlab_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT engine)
