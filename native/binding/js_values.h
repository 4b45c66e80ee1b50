// js_values.h owns the reading of single values from JavaScript objects and the making of typed arrays.
#pragma once

#include "node_api.h"
#include "support/error.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace ig {

inline std::string string_of(const Napi::Object & o, const char * key) {
    return o.Get(key).As<Napi::String>().Utf8Value();
}

inline double number_of(const Napi::Object & o, const char * key) {
    return o.Get(key).As<Napi::Number>().DoubleValue();
}

inline int32_t int_of(const Napi::Object & o, const char * key) {
    return o.Get(key).As<Napi::Number>().Int32Value();
}

inline int64_t int64_of(const Napi::Object & o, const char * key) {
    return o.Get(key).As<Napi::Number>().Int64Value();
}

inline bool bool_of(const Napi::Object & o, const char * key) {
    return o.Get(key).As<Napi::Boolean>().Value();
}

template <typename T, typename A> std::vector<T> numbers_of(const Napi::Object & o, const char * key) {
    const A array = o.Get(key).As<A>();
    return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

template <typename A, typename T> A typed_array(Napi::Env env, const std::vector<T> & values) {
    A array = A::New(env, values.size());
    if (!values.empty()) {
        std::memcpy(array.Data(), values.data(), values.size() * sizeof(T));
    }
    return array;
}

inline Napi::Array shape_to_js(Napi::Env env, const std::vector<int64_t> & shape) {
    Napi::Array array = Napi::Array::New(env, shape.size());
    for (size_t d = 0; d < shape.size(); ++d) {
        array.Set(uint32_t(d), double(shape[d]));
    }
    return array;
}

inline std::vector<std::string> keys_of(const Napi::Object & o) {
    const Napi::Array        names = o.GetPropertyNames();
    std::vector<std::string> keys;
    for (uint32_t i = 0; i < names.Length(); ++i) {
        keys.push_back(names.Get(i).As<Napi::String>().Utf8Value());
    }
    return keys;
}

template <typename T>
T choice_of(const Napi::Object & o, const char * key, const std::vector<std::pair<const char *, T>> & known) {
    const std::string name = string_of(o, key);
    for (const auto & [text, value] : known) {
        if (name == text) {
            return value;
        }
    }
    throw error("INTERNAL", std::string("unknown ") + key + ": " + name);
}

}  // namespace ig
