// marshal_training.h owns the translation between JavaScript values and what training takes and gives.
#pragma once

#include "critic/critic_training.h"
#include "guard_engine.h"
#include "node_api.h"
#include "safety/text_classifier.h"
#include "support/tensor_file.h"

namespace ig {

struct classifier_job {
    std::vector<labelled_text> texts;
    bool                       with_context;
    bool                       with_characters;
    uint64_t                   seed;
};

struct critic_job {
    critic_training_options options;
    std::string             device;
};

classifier_job             classifier_job_from(const Napi::Object & o);
probe_request              probe_request_from(const Napi::Object & o);
critic_job                 critic_job_from(const Napi::Object & o);
rollout_shape              rollout_shape_from(const Napi::Object & o);
std::vector<rollout>       rollouts_from(const rollout_shape & shape, const Napi::Array & records);
std::vector<named_text>    named_texts_from(const Napi::Object & o);
std::vector<named_numbers> named_numbers_from(const Napi::Object & o);
std::vector<named_tensor>  named_tensors_from(const Napi::Array & a);

Napi::Value to_js(Napi::Env env, const classifier_training & result);
Napi::Value to_js(Napi::Env env, const probe_training & result);
Napi::Value to_js(Napi::Env env, const critic_training & result);
Napi::Value to_js(Napi::Env env, const epoch_losses & losses);

}  // namespace ig
