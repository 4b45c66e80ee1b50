// The parts of the test addon for test/kernels.test.ts.
#pragma once

#include <napi.h>

Napi::Value attend(const Napi::CallbackInfo & info);
Napi::Value multiply(const Napi::CallbackInfo & info);
