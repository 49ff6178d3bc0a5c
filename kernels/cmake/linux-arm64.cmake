# Linux on 64-bit ARM (Debian: g++-aarch64-linux-gnu); tests run under qemu-user where it is installed.
#   cmake -S kernels -B build -DCMAKE_TOOLCHAIN_FILE=kernels/cmake/linux-arm64.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(LONGCAT_ARM64_ROOT /usr/aarch64-linux-gnu CACHE PATH "Where qemu-user finds the system libraries")
find_program(LONGCAT_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(LONGCAT_QEMU)
  set(LONGCAT_TEST_EVERY 7)  # an emulator is slow
  set(CMAKE_CROSSCOMPILING_EMULATOR "${LONGCAT_QEMU};-cpu;neoverse-n1;-L;${LONGCAT_ARM64_ROOT}")
endif()
