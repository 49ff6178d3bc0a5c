# Fails when a translation unit compiled for AVX2 or AVX-512 holds a weak function: the linker keeps one copy of those for the whole
# program, and on a processor without that instruction set it may be the one that cannot run.
execute_process(COMMAND ${NM} -C -A ${LIBRARY} OUTPUT_VARIABLE symbols RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "nm failed on ${LIBRARY}")
endif()
string(REGEX MATCHALL "[^\n]*avx[^\n]*\\.o:[0-9a-f]* [WVu] [^\n]*" weak "${symbols}")
if(weak)
  list(JOIN weak "\n" weak)
  message(FATAL_ERROR "weak symbols:\n${weak}")
endif()
