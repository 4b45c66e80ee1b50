// What the tests' own addon runs of ggml by itself.
#pragma once

#include <napi.h>

Napi::Value attend(const Napi::CallbackInfo & info);
Napi::Value multiply(const Napi::CallbackInfo & info);
