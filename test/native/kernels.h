// What an addon of its own runs by itself for test/kernels.test.ts.
#pragma once

#include <napi.h>

Napi::Value attend(const Napi::CallbackInfo & info);
Napi::Value multiply(const Napi::CallbackInfo & info);
