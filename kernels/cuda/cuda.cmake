# The CUDA kernels, three ways (cuda/common/cuda.cuh):
#   longcat_cuda            for GPUs, with -DLONGCAT_CUDA=ON where nvcc is; cudart is linked statically
#   longcat_cuda_emulated   for the host: the tests of every kernel run without a GPU
#   test cuda_ptx           by clang-19 to PTX for every target, and through ptxas where there is one
option(LONGCAT_CUDA "Build the CUDA kernels with nvcc (./run gpu)" OFF)
set(LONGCAT_CUDA_SOURCES
  cuda/attention_indexer/attention_indexer.cu
  cuda/common/device.cu
  cuda/expert_mixture/expert_mixture.cu
  cuda/latent_attention/latent_attention.cu
  cuda/lora_matmul/lora_matmul.cu
  cuda/ngram_embedding/ngram_embedding.cu
  cuda/paged_attention/paged_attention.cu
  cuda/quantize_rows/quantize_rows.cu
  cuda/w4a8_matmul/w4a8_matmul.cu)
set(LONGCAT_CUDA_TESTS attention_indexer expert_mixture latent_attention lora_matmul ngram_embedding paged_attention quantize_rows w4a8_matmul)

if(LONGCAT_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "LONGCAT_CUDA is ON and there is no CUDA compiler: nvcc must be on the PATH or in CUDACXX")
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 89-real 90a-real 90-virtual)  # PTX for whatever comes after
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  add_library(longcat_cuda STATIC ${LONGCAT_CUDA_SOURCES})
  # Device code is C++17: CMake before 3.26 does not know nvcc's C++20.
  set_target_properties(longcat_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF)
  # The runtime and its headers are those that nvcc names: a toolkit without the rest of its libraries will do.
  target_include_directories(longcat_cuda SYSTEM PUBLIC ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(longcat_cuda PUBLIC longcat_kernels)
  target_compile_options(longcat_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xptxas=-v;-lineinfo>)
  if(LONGCAT_BUILD_TESTS)
    foreach(test ${LONGCAT_CUDA_TESTS})
      add_executable(cuda_${test}_test cuda/tests/${test}_test.cc)
      target_compile_options(cuda_${test}_test PRIVATE ${LONGCAT_WARNINGS} -ffp-contract=off)
      target_link_libraries(cuda_${test}_test PRIVATE longcat_cuda Threads::Threads)
      add_test(NAME cuda_${test} COMMAND cuda_${test}_test)
      set_tests_properties(cuda_${test} PROPERTIES SKIP_RETURN_CODE 77)
    endforeach()
    add_executable(longcat_cuda_bench cuda/bench/cuda_bench.cc)
    target_link_libraries(longcat_cuda_bench PRIVATE longcat_cuda Threads::Threads ${CMAKE_DL_LIBS})
  endif()
endif()

# One build has one of the two: the language is a property of the files. Stacks are exchanged with ucontext and longjmp, which ThreadSanitizer does
# not follow.
if(LONGCAT_BUILD_TESTS AND NOT LONGCAT_CUDA AND CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT CMAKE_CROSSCOMPILING AND NOT LONGCAT_SANITIZE STREQUAL "thread")
  add_library(longcat_cuda_emulated STATIC cuda/emulation/grid.cc ${LONGCAT_CUDA_SOURCES})
  set_source_files_properties(${LONGCAT_CUDA_SOURCES} TARGET_DIRECTORY longcat_cuda_emulated PROPERTIES LANGUAGE CXX)
  target_compile_definitions(longcat_cuda_emulated PUBLIC LONGCAT_CUDA_EMULATION)
  # Fortified longjmp refuses to change stacks.
  target_compile_options(longcat_cuda_emulated PRIVATE ${LONGCAT_WARNINGS} -Wno-unknown-pragmas -ffp-contract=off -U_FORTIFY_SOURCE)
  set_property(SOURCE ${LONGCAT_CUDA_SOURCES} APPEND PROPERTY COMPILE_OPTIONS -x c++)
  target_link_libraries(longcat_cuda_emulated PUBLIC longcat_kernels)
  foreach(test ${LONGCAT_CUDA_TESTS})
    add_executable(cuda_${test}_emulated_test cuda/tests/${test}_test.cc)
    target_compile_options(cuda_${test}_emulated_test PRIVATE ${LONGCAT_WARNINGS} -ffp-contract=off)
    target_link_libraries(cuda_${test}_emulated_test PRIVATE longcat_cuda_emulated Threads::Threads)
    add_test(NAME cuda_${test}_emulated COMMAND cuda_${test}_emulated_test)
  endforeach()
endif()

if(LONGCAT_BUILD_TESTS AND LONGCAT_SANITIZE STREQUAL "" AND NOT CMAKE_CROSSCOMPILING)
  list(TRANSFORM LONGCAT_CUDA_SOURCES PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/" OUTPUT_VARIABLE sources)
  list(JOIN sources "," sources)
  add_test(NAME cuda_ptx COMMAND ${CMAKE_COMMAND} -DSOURCES=${sources} -DINCLUDE=${CMAKE_CURRENT_SOURCE_DIR}/include
    -DOUT=${CMAKE_CURRENT_BINARY_DIR}/ptx -P ${CMAKE_CURRENT_SOURCE_DIR}/cuda/tests/ptx.cmake)
  set_tests_properties(cuda_ptx PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: ")
endif()
