// word_pieces.h owns BERT's tokenizer. Text is cleaned and split into words, and each word into the longest pieces in
// the vocabulary, like BertNormalizer, BertPreTokenizer and WordPiece of Hugging Face. llama.cpp's own tokenizer
// differs for words of more than 100 characters, for Hangul, for scripts whose vowels are marks, and for some control
// characters.
#pragma once

#include "engine/llama_model.h"

#include <string>
#include <unordered_map>
#include <vector>

namespace ig {

class word_pieces {
  public:
    // For a model with a word-piece vocabulary. If the file does not say whether it is uncased, its pieces tell.
    explicit word_pieces(const loaded_model & model);

    // For a list like BERT's vocab.txt, uncased, in which pieces that continue a word begin with ##.
    explicit word_pieces(const std::vector<std::string> & vocabulary);

    // Whether it has the tokens for both ends of a text and for unknown words.
    bool is_complete() const { return begin >= 0 && end >= 0 && unknown >= 0; }

    std::vector<token_id> tokenize(const std::string & text, bool with_ends) const;

  private:
    using piece_ids = std::unordered_map<std::string, token_id>;

    piece_ids beginnings, continuations;  // of words
    size_t    longest = 0;                // bytes of the longest piece
    token_id  begin = -1, end = -1, unknown = -1;
    bool      lowercase = true, strip_accents = true;

    void                  add(piece_ids & where, const std::string & piece, token_id token);
    std::vector<uint32_t> normalized(const std::string & text) const;
    void                  append(const std::vector<uint32_t> & word, std::vector<token_id> & tokens) const;
};

}  // namespace ig
