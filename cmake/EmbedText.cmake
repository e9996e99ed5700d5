# SPDX-License-Identifier: Apache-2.0
# cmake -DINPUT=FILE -DOUTPUT=FILE.cc -DHEADER=model/x.h -DFUNCTION=name -P EmbedText.cmake: a text file as a C++ function of
# namespace defused that returns it, for defused_embed_text() of Modules.cmake.
file(READ ${INPUT} text)
string(FIND "${text}" ")embedded\"" end)
if(NOT end EQUAL -1)
  message(FATAL_ERROR "${INPUT} has the end of a raw string in it")
endif()
file(WRITE ${OUTPUT} "// Generated from ${INPUT}
#include \"${HEADER}\"

namespace defused {

std::string_view ${FUNCTION}() {
  return R\"embedded(${text})embedded\";
}

}  // namespace defused
")
