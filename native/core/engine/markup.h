// markup.h owns the border between a template's text and the contents that fill it. The template may write markers, the
// tokens that open and close turns. Contents never produce a marker, whatever they spell. Each stretch of plain text
// between two markers, template and contents together, is tokenized as a whole, so that the tokens equal those of the
// whole text.
#pragma once

#include "support/token.h"

#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace ig {

enum marker_kind {
    MARKER_CONTROL,  // contents never produce it
    MARKER_DEFINED,  // the tokenizer reads it in any text; contents never produce it if the template uses it
    MARKER_UNKNOWN,  // stands for unknown text; contents may produce it
};

struct marker {
    token_id    token;
    std::string text;
    marker_kind kind;
    bool        strips_left = false, strips_right = false;  // white space next to it
};

// All markers of a vocabulary.
class marker_table {
  public:
    explicit marker_table(std::vector<marker> markers);

    const std::vector<marker> & all() const { return markers; }

    const marker * find(const std::string & text) const;  // null: none
    const marker * of(token_id token) const;              // null: not a marker

    // Calls `visit` with the markers at a place, the longest first, until it returns true.
    template <typename Visitor> bool visit_at(const std::string & text, size_t at, Visitor visit) const {
        for (size_t length : lengths[uint8_t(text[at])]) {
            const marker * found = length <= text.size() - at ? find(text.substr(at, length)) : nullptr;
            if (found != nullptr && visit(*found)) {
                return true;
            }
        }
        return false;
    }

  private:
    std::vector<marker>                     markers;
    std::unordered_map<std::string, size_t> by_text;
    std::unordered_map<token_id, size_t>    by_token;
    std::vector<std::vector<size_t>>        lengths;  // of the markers that begin with each byte, in descending order
};

using plain_tokenizer = std::function<std::vector<token_id>(const std::string &)>;

// The markers that contents must not produce with a given template.
class markup {
  public:
    explicit markup(const marker_table & table) : table(&table) {}

    // Counts the markers that a template writes. A template's source also counts those that it composes.
    void use_text(const std::string & template_text);
    void use_source(const std::string & source);

    const marker_table & markers() const { return *table; }

    std::vector<std::string> texts() const;

    // The tokens of a text without markup. A marker that the tokenizer would read in it is split after its first
    // character. Throws SPECIAL_TOKEN_TEXT if that does not help.
    std::vector<token_id> plain_tokens(const std::string & text, const plain_tokenizer & tokenize) const;

  private:
    const marker_table * table;
    std::set<token_id>   used;  // of MARKER_DEFINED

    bool is_forbidden(const marker & m) const;
};

// Prepends the token that begins every text (-1: none) unless it is already there.
std::vector<token_id> begun_with(token_id beginning, std::vector<token_id> tokens);

// A text with markup and plain parts, while it is read.
class marked_text {
  public:
    marked_text(const markup & rules, const plain_tokenizer & tokenize) : rules(&rules), tokenize(&tokenize) {}

    void                  add_template(const std::string & text);
    void                  add_content(const std::string & text);
    std::vector<token_id> finish();

  private:
    const markup *          rules;
    const plain_tokenizer * tokenize;
    std::vector<token_id>   tokens;
    std::string             stretch;  // plain text that is not tokenized yet
    bool                    skips_space = false;

    void add_plain(char c);
    void add_marker(const marker & m);
    void close_stretch();
};

}  // namespace ig
