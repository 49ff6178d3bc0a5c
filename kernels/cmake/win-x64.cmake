# Windows on x86-64 with mingw-w64 (Debian: g++-mingw-w64-x86-64-posix); tests run under wine where it is installed.
#   cmake -S kernels -B build -DCMAKE_TOOLCHAIN_FILE=kernels/cmake/win-x64.cmake
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
# Everything of the compiler's own goes into each binary: nothing but what every Windows has is needed at run time.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static")
# Debian's `wine` is a script that asks for the 32-bit half; the 64-bit loader alone is enough.
find_program(LONGCAT_WINE NAMES wine64 wine64-stable wine PATHS /usr/lib/wine /usr/lib/wine64)
if(LONGCAT_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${LONGCAT_WINE}")
endif()
