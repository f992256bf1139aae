"""libcloze's constraint engine (section 2 of cloze.h) by ctypes: what a foreign inference engine
would write. Only the public API is used."""
import ctypes as c
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATUS = ["ok", "invalid", "unsupported", "unsatisfiable", "limit", "not_found", "exists", "corrupt",
          "io", "network", "denied", "busy", "timeout", "cancelled", "memory", "internal"]
KINDS = ["schema", "json_object", "regex", "choice", "gbnf", "lark", "structural"]
END = 256  # of the byte vocabulary


class _Error(c.Structure):
    _fields_ = [("code", c.c_int), ("where", c.c_char * 256), ("message", c.c_char * 768)]


class _VocabOptions(c.Structure):
    _fields_ = [("count", c.c_uint32), ("logits_width", c.c_uint32),
                ("tokens", c.POINTER(c.c_char_p)), ("sizes", c.POINTER(c.c_size_t)),
                ("names", c.POINTER(c.c_char_p)), ("end_ids", c.POINTER(c.c_uint32)), ("end_count", c.c_size_t),
                ("encode", c.c_void_p), ("encode_context", c.c_void_p), ("cache_bytes", c.c_size_t)]


class _Resource(c.Structure):
    _fields_ = [("uri", c.c_char_p), ("text", c.c_char_p), ("size", c.c_size_t)]


class _Options(c.Structure):
    _fields_ = [("kind", c.c_int), ("policy", c.c_int), ("whitespace", c.c_int),
                ("open_objects", c.c_bool), ("annotate_formats", c.c_bool), ("lenient", c.c_bool),
                ("resources", c.POINTER(_Resource)), ("resource_count", c.c_size_t)]


class _Mask(c.Structure):
    _fields_ = [("ids", c.POINTER(c.c_uint32)), ("words", c.POINTER(c.c_uint32)),
                ("count", c.c_uint32)]


class Refused(Exception):
    def __init__(self, error):
        self.code = STATUS[error.code]
        self.where = error.where.decode("utf-8", "replace")
        self.message = error.message.decode("utf-8", "replace")
        super().__init__(f"{self.code}: {self.where}: {self.message}")


def library():
    path = os.environ.get("CLOZE_LIBRARY")
    if not path:
        program = pathlib.Path(os.environ.get("CLOZE", ROOT / "build/check/src/cli/cloze"))
        path = program.resolve().parents[2] / "libcloze.so"
    return c.CDLL(str(path))


lib = library()
_p, _pp, _e = c.c_void_p, c.POINTER(c.c_void_p), c.POINTER(_Error)
for name, result, arguments in [
        ("cloze_vocab_create", c.c_int, [c.POINTER(_VocabOptions), _pp, _e]),
        ("cloze_vocab_open", c.c_int, [c.c_char_p, c.c_uint32, _pp, _e]),
        ("cloze_vocab_free", None, [_p]),
        ("cloze_vocab_count", c.c_uint32, [_p]),
        ("cloze_vocab_mask_words", c.c_size_t, [_p]),
        ("cloze_vocab_encode", c.c_size_t,
         [_p, c.c_char_p, c.c_size_t, c.POINTER(c.c_uint32), c.c_size_t]),
        ("cloze_grammar_compile", c.c_int, [_p, c.c_char_p, c.c_size_t, c.POINTER(_Options), _pp, _e]),
        ("cloze_grammar_free", None, [_p]),
        ("cloze_grammar_report", c.c_char_p, [_p]),
        ("cloze_matcher_create", c.c_int, [_p, _pp, _e]),
        ("cloze_matcher_fork", c.c_int, [_p, _pp, _e]),
        ("cloze_matcher_reset", None, [_p]),
        ("cloze_matcher_free", None, [_p]),
        ("cloze_matcher_mask", _Mask, [_p]),
        ("cloze_matcher_fill", None, [_p, c.POINTER(c.c_uint32), c.c_size_t]),
        ("cloze_matcher_accept", c.c_bool, [_p, c.c_uint32]),
        ("cloze_matcher_validate", c.c_size_t, [_p, c.POINTER(c.c_uint32), c.c_size_t]),
        ("cloze_matcher_rollback", None, [_p, c.c_size_t]),
        ("cloze_matcher_forced", c.c_size_t, [_p, c.POINTER(c.c_uint32), c.c_size_t]),
        ("cloze_matcher_is_accepting", c.c_bool, [_p]),
        ("cloze_matcher_is_finished", c.c_bool, [_p]),
        ("cloze_matcher_distance", c.c_uint32, [_p]),
        ("cloze_matcher_set_budget", c.c_int, [_p, c.c_uint32, _e]),
        ("cloze_matcher_text", c.POINTER(c.c_char), [_p, c.POINTER(c.c_size_t)]),
        ("cloze_batch_create", c.c_int, [c.c_uint32, _pp, _e]),
        ("cloze_batch_free", None, [_p]),
        ("cloze_batch_fill", None, [_p, _pp, c.c_uint32, c.POINTER(c.c_uint32), c.c_size_t])]:
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments


def _make(function, *arguments):
    out, error = c.c_void_p(), _Error()
    if function(*arguments, c.byref(out), c.byref(error)):
        raise Refused(error)
    return out


class Vocab:
    """Of single bytes and one end token; or of a tokenizer.json."""

    def __init__(self, path=None):
        if path:
            self.handle = _make(lib.cloze_vocab_open, str(path).encode(), 0)
        else:
            texts = [bytes([i]) for i in range(256)] + [b""]
            tokens = (c.c_char_p * 257)(*[c.cast(c.create_string_buffer(t, 1), c.c_char_p)
                                          for t in texts])
            self.keep = [c.create_string_buffer(t, 1) for t in texts]
            for i, buffer in enumerate(self.keep):
                tokens[i] = c.cast(buffer, c.c_char_p)
            sizes = (c.c_size_t * 257)(*[len(t) for t in texts])
            end = (c.c_uint32 * 1)(END)
            options = _VocabOptions(257, 0, tokens, sizes, None, end, 1, None, None, 0)
            self.handle = _make(lib.cloze_vocab_create, c.byref(options))
        self.bytewise = path is None
        self.words = lib.cloze_vocab_mask_words(self.handle)

    def encode(self, text):
        if self.bytewise:
            return list(text)
        count = lib.cloze_vocab_encode(self.handle, text, len(text), None, 0)
        ids = (c.c_uint32 * max(count, 1))()
        lib.cloze_vocab_encode(self.handle, text, len(text), ids, count)
        return list(ids[:count])

    def compile(self, source=b"", kind="schema", policy="accept", whitespace=0, annotate=False,
                open_objects=False, resources=()):
        source = source.encode() if isinstance(source, str) else source
        array = (_Resource * max(len(resources), 1))()
        for i, (uri, text) in enumerate(resources):
            array[i] = _Resource(uri.encode(), text.encode(), len(text.encode()))
        options = _Options(KINDS.index(kind), policy == "accept", whitespace, open_objects, annotate,
                           False, array, len(resources))
        return Grammar(self, _make(lib.cloze_grammar_compile, self.handle, source, len(source),
                                   c.byref(options)))


class Grammar:
    def __init__(self, vocab, handle):
        self.vocab, self.handle = vocab, handle

    def __del__(self):
        lib.cloze_grammar_free(self.handle)

    def report(self):
        return lib.cloze_grammar_report(self.handle).decode()

    def matcher(self):
        return Matcher(self, _make(lib.cloze_matcher_create, self.handle))

    def judge(self, text):
        """Whether the whole text is an answer."""
        matcher = self.matcher()
        return matcher.feed(text) and matcher.accepting()


class Matcher:
    def __init__(self, grammar, handle):
        self.grammar, self.handle = grammar, handle

    def __del__(self):
        lib.cloze_matcher_free(self.handle)

    def accept(self, token):
        return lib.cloze_matcher_accept(self.handle, token)

    def feed(self, text):
        text = text.encode() if isinstance(text, str) else text
        return all(self.accept(token) for token in self.grammar.vocab.encode(text))

    def mask(self):
        """The allowed ids, as a list."""
        mask = lib.cloze_matcher_mask(self.handle)
        if mask.ids:
            return list(mask.ids[:mask.count])
        ids = []
        for index, word in enumerate(mask.words[:self.grammar.vocab.words]):
            while word:
                low = word & -word
                ids.append(index * 32 + low.bit_length() - 1)
                word ^= low
        return ids

    def fill(self):
        words = (c.c_uint32 * self.grammar.vocab.words)()
        lib.cloze_matcher_fill(self.handle, words, len(words))
        return [i * 32 + b for i, w in enumerate(words) if w for b in range(32) if w >> b & 1]

    def validate(self, tokens):
        return lib.cloze_matcher_validate(self.handle, (c.c_uint32 * len(tokens))(*tokens),
                                          len(tokens))

    def rollback(self, count):
        lib.cloze_matcher_rollback(self.handle, count)

    def forced(self, capacity=256):
        ids = (c.c_uint32 * capacity)()
        return list(ids[:lib.cloze_matcher_forced(self.handle, ids, capacity)])

    def accepting(self):
        return lib.cloze_matcher_is_accepting(self.handle)

    def finished(self):
        return lib.cloze_matcher_is_finished(self.handle)

    def distance(self):
        return lib.cloze_matcher_distance(self.handle)

    def set_budget(self, tokens):
        error = _Error()
        if lib.cloze_matcher_set_budget(self.handle, tokens, c.byref(error)):
            raise Refused(error)

    def fork(self):
        return Matcher(self.grammar, _make(lib.cloze_matcher_fork, self.handle))

    def reset(self):
        lib.cloze_matcher_reset(self.handle)

    def text(self):
        size = c.c_size_t()
        data = lib.cloze_matcher_text(self.handle, c.byref(size))
        return c.string_at(data, size.value) if size.value else b""
