// jobs.h owns the tables of everything that JavaScript can request by name: jobs, which a worker's thread runs, and
// calls, which are answered at once. To add one, add a row in jobs.cpp and its function.
#pragma once

#include "worker.h"

namespace ig {

struct job_kind {
    // Throws INTERNAL if the request differs from describe().
    std::function<job_work(const Napi::Value & request)> read;
    std::function<std::string()>                         describe;
    bool                                                 is_generation = false;
};

struct call_kind {
    std::function<Napi::Value(const Napi::CallbackInfo &)> run;
    std::function<std::string()>                           describe;
};

template <typename T> using table = std::vector<std::pair<const char *, T>>;

const table<job_kind> &  jobs();
const table<call_kind> & calls();

// Both tables, and the events of a job, in TypeScript's words.
record<std::string> describe_protocol();

}  // namespace ig
