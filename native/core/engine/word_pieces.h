// word_pieces.h owns BERT's tokenizer: text is cleaned, split into words, and every word into the longest pieces that the
// vocabulary has, as BertNormalizer, BertPreTokenizer and WordPiece of Hugging Face do it. llama.cpp's own departs from them in
// words of more than 100 characters, in Hangul, in scripts whose vowels are marks, and at some control characters.
#pragma once

#include "engine/llama_model.h"

#include <string>
#include <unordered_map>
#include <vector>

namespace ig {

class word_pieces {
  public:
    // Of a model whose vocabulary is one of word pieces. Whether a file that does not say so is uncased is seen in its pieces.
    explicit word_pieces(const loaded_model & model);

    // Of a list as BERT's vocab.txt has it, where pieces that continue a word begin with ##; uncased.
    explicit word_pieces(const std::vector<std::string> & vocabulary);

    // Whether there are tokens for both ends of a text and for unknown words.
    bool is_complete() const { return begin >= 0 && end >= 0 && unknown >= 0; }

    std::vector<token_id> tokenize(const std::string & text, bool with_ends) const;

  private:
    using piece_ids = std::unordered_map<std::string, token_id>;

    piece_ids beginnings, continuations;  // of words
    size_t    longest = 0;                // bytes of a piece
    token_id  begin = -1, end = -1, unknown = -1;
    bool      lowercase = true, strip_accents = true;

    void                  add(piece_ids & where, const std::string & piece, token_id token);
    std::vector<uint32_t> normalized(const std::string & text) const;
    void                  append(const std::vector<uint32_t> & word, std::vector<token_id> & tokens) const;
};

}  // namespace ig
