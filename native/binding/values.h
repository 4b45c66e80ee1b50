// values.h owns the conversion of values between JavaScript and C++: each kind of value is checked, read, written and
// described in one place. JavaScript has checked every option before, so a value of another kind is a bug of this
// package. Memory that JavaScript gets is allocated by JavaScript. A struct crosses by its members, which protocol.h
// names once:
//
//     template <typename V> void members(V & of, lexicon_term & it) {
//         of(row("term", it.text), row("weight", it.weight));
//     }
#pragma once

#include "node_api.h"
#include "support/error.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ig {

// A kind of value. is() tests whether a value is of this kind, read() reads one, write() makes one, and describe()
// names the kind as TypeScript does. read() checks elements and members in turn.
template <typename T, typename = void> struct crossing;

template <typename T> T from_js(const Napi::Value & v, const std::string & what) {
    if (!crossing<T>::is(v)) {
        throw error("INTERNAL", "expected " + crossing<T>::describe() + " as " + what);
    }
    return crossing<T>::read(v);
}

template <typename T> using plain = std::remove_const_t<std::remove_reference_t<T>>;

template <typename T> Napi::Value to_js(Napi::Env env, T && it) {
    return crossing<plain<T>>::write(env, it);
}

// one value of JavaScript

template <> struct crossing<std::monostate> {
    static bool is(const Napi::Value & v) { return v.IsUndefined(); }

    static std::monostate read(const Napi::Value &) { return {}; }

    static Napi::Value write(Napi::Env env, std::monostate) { return env.Undefined(); }

    static std::string describe() { return "undefined"; }
};

template <> struct crossing<bool> {
    static bool is(const Napi::Value & v) { return v.IsBoolean(); }

    static bool read(const Napi::Value & v) { return v.As<Napi::Boolean>().Value(); }

    static Napi::Value write(Napi::Env env, bool it) { return Napi::Boolean::New(env, it); }

    static std::string describe() { return "boolean"; }
};

template <typename T> struct crossing<T, std::enable_if_t<std::is_arithmetic_v<T>>> {
    static bool is(const Napi::Value & v) { return v.IsNumber(); }

    static T read(const Napi::Value & v) {
        const Napi::Number number = v.As<Napi::Number>();
        return std::is_integral_v<T> && std::is_signed_v<T> ? T(number.Int64Value()) : T(number.DoubleValue());
    }

    static Napi::Value write(Napi::Env env, T it) { return Napi::Number::New(env, double(it)); }

    static std::string describe() { return "number"; }
};

template <> struct crossing<std::string> {
    static bool is(const Napi::Value & v) { return v.IsString(); }

    static std::string read(const Napi::Value & v) { return v.As<Napi::String>().Utf8Value(); }

    static Napi::Value write(Napi::Env env, const std::string & it) { return Napi::String::New(env, it); }

    static std::string describe() { return "string"; }
};

// The names of an enum's values. Several values may share a name.
template <typename E> using choices = std::vector<std::pair<const char *, E>>;
template <typename E> const choices<E> names_of;

template <typename E> std::pair<const char *, E> name(const char * text, E value) {
    return { text, value };
}

inline std::string one_of(const std::set<std::string> & names) {
    std::string all;
    for (const std::string & name : names) {
        all += (all.empty() ? "\"" : " | \"") + name + '"';
    }
    return all;
}

template <typename E> struct crossing<E, std::enable_if_t<std::is_enum_v<E>>> {
    static bool is(const Napi::Value & v) { return v.IsString() && find(v) != nullptr; }

    static E read(const Napi::Value & v) { return *find(v); }

    static Napi::Value write(Napi::Env env, E it) {
        for (const auto & [name, value] : names_of<E>) {
            if (it == value) {
                return Napi::String::New(env, name);
            }
        }
        throw error("INTERNAL", "expected one of " + describe() + ", got a value without a name");
    }

    static std::string describe() {
        std::set<std::string> names;
        for (const auto & [name, value] : names_of<E>) {
            names.insert(name);
        }
        return one_of(names);
    }

  private:
    static const E * find(const Napi::Value & v) {
        const std::string given = v.As<Napi::String>().Utf8Value();
        for (const auto & [name, value] : names_of<E>) {
            if (given == name) {
                return &value;
            }
        }
        return nullptr;
    }
};

// An entry of a list, by its name. It is only read, never written.
template <typename K, const std::vector<const K *> & all> struct kind_crossing {
    static bool is(const Napi::Value & v) { return v.IsString() && read(v) != nullptr; }

    static const K * read(const Napi::Value & v) {
        const std::string given = v.As<Napi::String>().Utf8Value();
        const auto found = std::find_if(all.begin(), all.end(), [&](const K * one) { return given == one->name; });
        return found == all.end() ? nullptr : *found;
    }

    static std::string describe() {
        std::set<std::string> names;
        for (const K * one : all) {
            names.insert(one->name);
        }
        return one_of(names);
    }
};

// An absent value is undefined or null when read, and null when written.
template <typename T> struct crossing<std::optional<T>> {
    static bool is(const Napi::Value & v) { return v.IsUndefined() || v.IsNull() || crossing<T>::is(v); }

    static std::optional<T> read(const Napi::Value & v) {
        return v.IsUndefined() || v.IsNull() ? std::nullopt : std::optional<T>(crossing<T>::read(v));
    }

    template <typename O> static Napi::Value write(Napi::Env env, O & it) { return it ? to_js(env, *it) : env.Null(); }

    static std::string describe() { return crossing<T>::describe() + " | null"; }
};

// numbers in bulk

struct array_kind {
    const char *         name;
    napi_typedarray_type type;
};

template <typename T> constexpr array_kind array_of          = { nullptr, napi_int8_array };
template <> inline constexpr array_kind    array_of<double>  = { "Float64Array", napi_float64_array };
template <> inline constexpr array_kind    array_of<float>   = { "Float32Array", napi_float32_array };
template <> inline constexpr array_kind    array_of<int32_t> = { "Int32Array", napi_int32_array };
template <> inline constexpr array_kind    array_of<uint8_t> = { "Uint8Array", napi_uint8_array };

template <typename T> struct crossing<std::vector<T>, std::enable_if_t<array_of<T>.name != nullptr>> {
    static bool is(const Napi::Value & v) {
        return v.IsTypedArray() && v.As<Napi::TypedArray>().TypedArrayType() == array_of<T>.type;
    }

    static std::vector<T> read(const Napi::Value & v) {
        const auto array = v.As<Napi::TypedArrayOf<T>>();
        return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
    }

    static Napi::Value write(Napi::Env env, const std::vector<T> & it) {
        auto array = Napi::TypedArrayOf<T>::New(env, it.size());
        if (!it.empty()) {
            std::memcpy(array.Data(), it.data(), it.size() * sizeof(T));
        }
        return array;
    }

    static std::string describe() { return array_of<T>.name; }
};

// one number, or many
using number_or_array = std::variant<double, std::vector<double>>;

template <> struct crossing<number_or_array> {
    static bool is(const Napi::Value & v) { return v.IsNumber() || crossing<std::vector<double>>::is(v); }

    static number_or_array read(const Napi::Value & v) {
        return v.IsNumber() ? number_or_array(crossing<double>::read(v)) : crossing<std::vector<double>>::read(v);
    }

    static std::string describe() { return "Float64Array | number"; }
};

// lists and objects

template <typename T> struct crossing<std::vector<T>, std::enable_if_t<array_of<T>.name == nullptr>> {
    static bool is(const Napi::Value & v) { return v.IsArray(); }

    static std::vector<T> read(const Napi::Value & v) {
        const auto     list = v.As<Napi::Array>();
        std::vector<T> all;
        for (uint32_t i = 0; i < list.Length(); ++i) {
            all.push_back(from_js<T>(list.Get(i), "an element"));
        }
        return all;
    }

    template <typename L> static Napi::Value write(Napi::Env env, L & it) {
        auto list = Napi::Array::New(env, it.size());
        for (size_t i = 0; i < it.size(); ++i) {
            list.Set(uint32_t(i), to_js(env, it[i]));
        }
        return list;
    }

    static std::string describe() { return "(" + crossing<T>::describe() + ")[]"; }
};

// a list of numbers that people read
struct number_list {
    const std::vector<double> & values;
};

template <> struct crossing<number_list> {
    static Napi::Value write(Napi::Env env, const number_list & it) {
        auto list = Napi::Array::New(env, it.values.size());
        for (size_t i = 0; i < it.values.size(); ++i) {
            list.Set(uint32_t(i), it.values[i]);
        }
        return list;
    }

    static std::string describe() { return "(number)[]"; }
};

// an object whose keys are data, in their order
template <typename T> struct record : std::vector<std::pair<std::string, T>> {};

template <typename T> struct crossing<record<T>> {
    static bool is(const Napi::Value & v) { return v.IsObject(); }

    static record<T> read(const Napi::Value & v) {
        const auto o    = v.As<Napi::Object>();
        const auto keys = from_js<std::vector<std::string>>(o.GetPropertyNames(), "keys");
        record<T>  all;
        for (const std::string & key : keys) {
            all.emplace_back(key, from_js<T>(o.Get(key), key));
        }
        return all;
    }

    template <typename R> static Napi::Value write(Napi::Env env, R & it) {
        auto o = Napi::Object::New(env);
        for (auto & [key, value] : it) {
            o.Set(key, to_js(env, value));
        }
        return o;
    }

    static std::string describe() { return "{ [key]: " + crossing<T>::describe() + " }"; }
};

// a member under its name
template <typename T> struct member_row {
    const char * name;
    T            value;
};

template <typename T> member_row<T> row(const char * name, T && value) {
    return { name, std::forward<T>(value) };
}

// a member that keeps its value if it is absent
template <typename T> struct member_maybe {
    const char * name;
    T &          value;
};

template <typename T> member_maybe<T> maybe(const char * name, T & value) {
    return { name, value };
}

struct member_reader {
    Napi::Object from;

    template <typename... Rows> void operator()(Rows... rows) { (take(rows), ...); }

  private:
    template <typename T> void take(member_row<T &> r) { r.value = from_js<T>(from.Get(r.name), r.name); }

    template <typename T> void take(member_maybe<T> r) {
        auto given = from_js<std::optional<T>>(from.Get(r.name), r.name);
        if (given) {
            r.value = std::move(*given);
        }
    }
};

struct member_writer {
    Napi::Object to;

    template <typename... Rows> void operator()(Rows... rows) { (to.Set(rows.name, to_js(to.Env(), rows.value)), ...); }
};

struct member_describer {
    std::set<std::string> said;

    template <typename... Rows> void operator()(Rows... rows) { (said.insert(text_of(rows)), ...); }

  private:
    template <typename T> static std::string text_of(const member_row<T> & r) {
        return std::string(r.name) + ": " + crossing<plain<T>>::describe();
    }

    template <typename T> static std::string text_of(const member_maybe<T> & r) {
        return std::string(r.name) + ": " + crossing<std::optional<T>>::describe();
    }
};

// a struct
template <typename T, typename> struct crossing {
    static bool is(const Napi::Value & v) { return v.IsObject(); }

    static T read(const Napi::Value & v) {
        T             it{};
        member_reader of = { v.As<Napi::Object>() };
        members(of, it);
        return it;
    }

    template <typename S> static Napi::Value write(Napi::Env env, S & it) {
        member_writer of = { Napi::Object::New(env) };
        members(of, it);
        return of.to;
    }

    static std::string describe() {
        T                nothing{};
        member_describer of;
        members(of, nothing);
        std::string text = "{ ";
        for (const std::string & member : of.said) {
            text += member + "; ";
        }
        return text + "}";
    }
};

}  // namespace ig
