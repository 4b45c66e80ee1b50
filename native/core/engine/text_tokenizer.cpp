#include "engine/text_tokenizer.h"

#include "ggml/assertions.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>

namespace ig {

namespace {

const size_t soon_read = 1 << 16; // bytes
const auto   between_looks = std::chrono::milliseconds(5);

bool has_ended(const std::future<std::vector<token_id>> & one) {
    return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}

// Whether a text that was left behind is still being read.
bool text_tokenizer::is_reading() {
    const std::lock_guard<std::mutex> guard(lock);
    left_behind.erase(std::remove_if(left_behind.begin(), left_behind.end(), has_ended), left_behind.end());
    return !left_behind.empty();
}

std::vector<token_id> text_tokenizer::tokenize(const std::string & text, bool with_ends, const cancel_flag & cancel) {
    if (text.size() <= soon_read) {
        return model->tokenize(text, with_ends);
    }
    while (is_reading()) {
        cancel.check();
        std::this_thread::sleep_for(between_looks);
    }
    std::packaged_task<std::vector<token_id>()> work([kept = model, text, with_ends] {
        const ggml_throwing_assertions scope;
        return kept->tokenize(text, with_ends);
    });
    reading own = work.get_future();
    try {
        std::thread(std::move(work)).detach();
    } catch (const std::system_error &) {
        return model->tokenize(text, with_ends); // there is no thread to be had
    }
    while (own.wait_for(between_looks) != std::future_status::ready) {
        if (cancel.requested) {
            const std::lock_guard<std::mutex> guard(lock);
            left_behind.push_back(std::move(own));
            break;
        }
    }
    cancel.check();
    return own.get();
}

}
