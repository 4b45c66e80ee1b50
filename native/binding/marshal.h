// marshal.h owns the translation between JavaScript values and the plain structs of the core. JavaScript has checked
// every option already; only shapes are read here. Memory that JavaScript gets is allocated by JavaScript.
#pragma once

#include "guard_engine.h"
#include "node_api.h"

namespace ig {

struct asked_candidate {
    std::string           text;
    std::vector<token_id> tokens;
    bool                  finished;
};

guard_spec         guard_spec_from(const Napi::Object & o);
prompt_source      prompt_from(const Napi::Object & o);
score_request      score_request_from(const Napi::Object & o);
generation_request request_from(const Napi::Object & o);
rollout_request    rollout_request_from(const Napi::Object & o);

Napi::Value to_js(Napi::Env env, const std::vector<std::string> & texts);
Napi::Value to_js(Napi::Env env, const std::vector<float> & values);
Napi::Value to_js(Napi::Env env, const std::vector<double> & values);
Napi::Value to_js(Napi::Env env, const guard_info & info);
Napi::Value to_js(Napi::Env env, const generation_result & result);
Napi::Value to_js(Napi::Env env, const std::vector<std::vector<token_id>> & lists);
Napi::Value to_js(Napi::Env env, const rollout_result & result);
Napi::Value to_js(Napi::Env env, size_t index, const std::vector<asked_candidate> & question);
Napi::Value to_js(Napi::Env env, const model_file & file);

}  // namespace ig
