# Fails when a translation unit compiled for an instruction set shows the linker anything but its entry points (named …Avx2, …AvxVnni, …Avx512, …Avx512Bf16, …Vnni,
# …Neon, …NeonDot): of a common function the linker keeps one copy for the whole program, and on a processor without that instruction set
# it may be the one that cannot run.
execute_process(COMMAND ${NM} -A ${LIBRARY} OUTPUT_VARIABLE symbols RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "nm failed on ${LIBRARY}")
endif()
# Upper-case letters are global; U is what the unit asks of others, w and v are its weak ones (lower case where undefined).
string(REGEX MATCHALL "[^\n]*(avx2|avxvnni|avx512[a-z0-9]*|neon[a-z]*)\\.cc\\.o[^:]*:[0-9a-f]+ [A-TV-Zuwv] [^\n]*" visible "${symbols}")
set(entries 0)
set(others "")
foreach(symbol ${visible})
  if(symbol MATCHES " T [^ ]*(Avx2|Avx512|Vnni|Neon)[^ ]*$")
    math(EXPR entries "${entries} + 1")
  else()
    string(APPEND others "${symbol}\n")
  endif()
endforeach()
if(others)
  message(FATAL_ERROR "more than entry points is visible:\n${others}")
endif()
if(entries EQUAL 0 AND VECTORISED)
  message(FATAL_ERROR "no entry point found in ${LIBRARY}: this test would prove nothing")
endif()
