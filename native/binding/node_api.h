// node_api.h is the only include of Node-API. It configures its use: no C++ exceptions from the API, no external
// buffers (Electron forbids them), and only finalizers that may run during garbage collection.
#pragma once

#define NAPI_VERSION 8
#define NAPI_DISABLE_CPP_EXCEPTIONS
#define NODE_ADDON_API_DISABLE_DEPRECATED
#define NODE_API_NO_EXTERNAL_BUFFERS_ALLOWED
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS

#include <napi.h>
