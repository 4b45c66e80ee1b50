#include "engine/text_tokenizer.h"

#include "hooks/assertions.h"

#include <future>
#include <system_error>

namespace ig {

namespace {

const size_t soon_read = 1 << 16;  // bytes that are tokenized without a thread

struct end_notice {
    rendezvous & news;
    bool &       has_ended;

    ~end_notice() {
        const std::lock_guard<std::mutex> guard(news.lock);
        has_ended = true;
        news.changed.notify_all();
    }
};

}  // namespace

std::vector<token_id> text_tokenizer::tokenize(const std::string &   text,
                                               bool                  with_ends,
                                               const wait_function & serve,
                                               const cancel_flag &   cancel) const {
    const auto read = [&] {
        return model->tokenize(text, with_ends, &cancel);
    };
    if (text.size() <= soon_read || !serve) {
        return read();
    }
    bool                               has_ended = false;
    std::future<std::vector<token_id>> reading;
    try {
        reading = std::async(std::launch::async, [&] {
            const ggml_throwing_assertions scope;
            const end_notice               notice = { news, has_ended };
            return read();
        });
    } catch (const std::system_error &) {
        return read();  // no thread is available
    }
    serve([&] { return has_ended; });
    return reading.get();
}

}  // namespace ig
