# Writes cuda/interface_hash.h: a number that changes with any header. An engine refuses a CUDA library
# whose number is another one.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS include/*.h src/*.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
set(hashes "")
foreach(header IN LISTS headers)
  file(SHA256 ${header} hash)
  string(APPEND hashes ${hash})
endforeach()
string(SHA256 hash "${hashes}")
string(SUBSTRING ${hash} 0 7 hash)  # 28 bits fit an int
set(generated ${CMAKE_CURRENT_BINARY_DIR}/generated)
file(CONFIGURE OUTPUT ${generated}/cuda/interface_hash.h CONTENT
  "#pragma once\n\nnamespace normlab::cuda {\n\ninline constexpr int kInterface = 0x@hash@;\n\n}\n" @ONLY)
target_include_directories(normlab PRIVATE ${generated})
