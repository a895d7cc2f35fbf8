# kNormVariants with one more row and nothing else changed: the engine's kernels and the tests of every
# variant take it. The engine reads the table in norm_settings.cpp alone; all else is given a row.
set(engine ${PROJECT_SOURCE_DIR}/engine)
set(table ${engine}/include/normlab/norm.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${table})
file(READ ${table} header)
string(REPLACE "};\n// clang-format on"
  "    {.name = \"bias_detach_mean\", .grad_mean = false, .output = Output::bias},\n};\n// clang-format on"
  longer "${header}")
if(longer STREQUAL header)
  message(FATAL_ERROR "new_row.cmake: found no end of kNormVariants in ${table}")
endif()
set(new_row ${CMAKE_CURRENT_BINARY_DIR}/new_row)
file(CONFIGURE OUTPUT ${new_row}/normlab/norm.h CONTENT "${longer}" @ONLY)

add_executable(normlab_new_row_tests new_row/new_row_test.cpp norm_test.cpp norm_rows_test.cpp
  norm_options_test.cpp norm_gpu_test.cpp nn_test.cpp ${engine}/src/ops/norm_settings.cpp
  $<TARGET_OBJECTS:normlab_test_main>)
target_include_directories(normlab_new_row_tests BEFORE PRIVATE ${new_row})
target_include_directories(normlab_new_row_tests PRIVATE . ${engine}/src)
normlab_test_options(normlab_new_row_tests)
normlab_precompile(normlab_new_row_tests catch.h <normlab/normlab.h>)
add_test(NAME new_row COMMAND normlab_new_row_tests "[norm]")
if(TARGET normlab_cuda_emulated)
  add_test(NAME new_row_emulated COMMAND normlab_new_row_tests "norm: the GPU agrees with the CPU")
  set_tests_properties(new_row_emulated PROPERTIES ENVIRONMENT
    "NORMLAB_CUDA_LIBRARY=$<TARGET_FILE:normlab_cuda_emulated>")
endif()
