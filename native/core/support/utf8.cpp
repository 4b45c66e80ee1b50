#include "support/utf8.h"

namespace ig {

namespace {
const uint32_t replacement = 0xfffd;
}

void append_utf8(std::string & out, uint32_t code) {
    if (code < 0x80) {
        out += char(code);
    } else if (code < 0x800) {
        out += char(0xc0 | code >> 6);
        out += char(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        out += char(0xe0 | code >> 12);
        out += char(0x80 | (code >> 6 & 0x3f));
        out += char(0x80 | (code & 0x3f));
    } else {
        out += char(0xf0 | code >> 18);
        out += char(0x80 | (code >> 12 & 0x3f));
        out += char(0x80 | (code >> 6 & 0x3f));
        out += char(0x80 | (code & 0x3f));
    }
}

uint32_t next_character(std::string_view text, size_t & at) {
    const uint8_t first = text[at++];
    if (first < 0x80) {
        return first;
    }
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t  code = first & (0x3f >> more);
    for (int i = 0; i < more && at < text.size(); ++i) {
        code = code << 6 | (text[at++] & 0x3f);
    }
    return code;
}

void utf8_stream::push(std::string_view bytes, std::string & out) {
    for (size_t i = 0; i < bytes.size(); ++i) {
        const uint8_t byte = bytes[i];
        if (missing > 0) {
            if (byte < lower || byte > upper) {
                append_utf8(out, replacement);
                missing = 0;
                --i;  // the byte may start another character
                lower = 0x80, upper = 0xbf;
                continue;
            }
            lower = 0x80, upper = 0xbf;
            code = code << 6 | (byte & 0x3f);
            if (--missing == 0) {
                append_utf8(out, code);
            }
        } else if (byte < 0x80) {
            out += char(byte);
        } else if (byte >= 0xc2 && byte <= 0xdf) {
            missing = 1;
            code    = byte & 0x1f;
        } else if (byte >= 0xe0 && byte <= 0xef) {
            missing = 2;
            code    = byte & 0x0f;
            lower   = byte == 0xe0 ? 0xa0 : 0x80;  // no overlong forms
            upper   = byte == 0xed ? 0x9f : 0xbf;  // no surrogates
        } else if (byte >= 0xf0 && byte <= 0xf4) {
            missing = 3;
            code    = byte & 0x07;
            lower   = byte == 0xf0 ? 0x90 : 0x80;
            upper   = byte == 0xf4 ? 0x8f : 0xbf;  // nothing above U+10FFFF
        } else {
            append_utf8(out, replacement);
        }
    }
}

}  // namespace ig
