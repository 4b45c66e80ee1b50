// token.h owns the type of a token: its id in a model's vocabulary.
#pragma once

#include <cstdint>

namespace ig {

using token_id = int32_t;

}
