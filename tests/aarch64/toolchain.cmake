# Cross-compiles for 64-bit ARM with Debian's g++-aarch64-linux-gnu and runs tests under qemu-user.
# NORMLAB_SYSROOT is the folder that tests/aarch64/sysroot has filled.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES NORMLAB_SYSROOT)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${NORMLAB_SYSROOT})
set(dnnl_DIR ${NORMLAB_SYSROOT}/usr/lib/aarch64-linux-gnu/cmake/dnnl)
# oneDNN asks for newer C and C++ libraries than the compiler's: the sysroot has them at run time.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,--allow-shlib-undefined)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -Wl,--allow-shlib-undefined)
