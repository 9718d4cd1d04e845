// A second translation unit with the same headers: their definitions must not collide.
#include "expected.h"

std::uint32_t encode_in_second_unit(float x) { return fp4lab::encode(consumer::kFormat, x); }
