"""Writes what the tokenizer is held to, from the installed transformers and tokenizers:

  tests/fixtures/tokenizers/clip_corpus.txt     text and ids, one a line
  tests/fixtures/tokenizers/clip_variants.json  an odd vocabulary, many configs, text and ids
  tests/fixtures/tokenizers/clip_openai.txt     the embedded vocabulary: text, ids, ids with "!" as padding

Run from the repository root: HF_HUB_OFFLINE=1 python tools/reference/export_tokenizer.py
Everything is drawn from fixed seeds: a second run writes the same bytes.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path

import tokenizers
import transformers
from tokenizers import normalizers
from transformers import CLIPTokenizer

MODEL = Path("models/tintype-emoji-128/tokenizer")
FIXTURES = Path("tests/fixtures/tokenizers")
OPENAI_MERGES = Path("src/tokenizers/data/clip_merges.txt")
VERSIONS = f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


# --- corpus ---------------------------------------------------------------------------------------

SUBJECTS = """cat; red fox; old fisherman; robot chef; girl with a pearl earring; lighthouse; emoji of a
 smiling face; heart with arrow; hot-air balloon; T-Rex; café; naïve painter; cup of coffee; snowman; castle
 on a hill; VW Beetle '67; 3 little pigs; mother's garden; dog's bowl; New York skyline""".replace(
    "\n", ""
)
STYLES = """watercolor; oil on canvas, 4k; by Alphonse Mucha; trending on artstation; 85mm f/1.4, bokeh; pixel
 art (16-bit); ukiyo-e; flat icon, white background; (masterpiece:1.2), best quality; [sketch|ink] --ar 16:9;
 8K UHD, HDR; low-poly; 1920s poster; #aesthetic @studio; cinematic, moody, rim-light""".replace(
    "\n", ""
)
SCRIPTS = [
    "Привет, как дела? ПОДЪЁМ Ё Й",
    "Ελληνικά ΟΔΟΣ Σίσυφος ΆΈΉΊΌΎΏ",
    "שלום עולם — בְּרֵאשִׁית",
    "السلام عليكم ١٢٣ لَا إِلَٰهَ",
    "नमस्ते दुनिया क़िला १२३",
    "বাংলা ভাষা ড়ঢ়য়",
    "தமிழ் கொ",
    "ภาษาไทย ๑๒๓",
    "ລາວ",
    "မြန်မာ ၁၂၃",
    "ខ្មែរ",
    "한국어 조합 각 각",
    "日本語のテスト、カタカナ。ガギグ パピプ",
    "中文字符測試，你好！",
    "ქართული ᲐᲑᲒ",
    "Հայերեն և",
    "አማርኛ",
    "ᏣᎳᎩ ꮳꮃꭹ",
    "Tiếng Việt: Ắ Ằ Ẵ ẫ ử",
    "İstanbul IĞDIR ıi",
    "Straße STRASSE ẞ ﬁ ﬂ",
    "Ǆ ǅ ǆ Ǳ ǲ",
    "ⅣⅫ ½ ¾ ² ³ ① ⑳ ㊿",
    "𝔉𝔞𝔫𝔠𝔶 𝟙𝟚 𝒜",
    "𐐀𐐨 𞤀𞤢 𑢠𑣀",
    "Å Å Ω Ω K K",
    "e\u0301\u0327 q\u0307\u0323 o\u0302\u0301",
    "\u0344 \u0340\u0341 \u1fef \u2126",
    "\u0958 \u09dc \u0fa7 \ufb1f \U0001d15e",
    "\u1100\u1161\u11a8 \u1100\u0301\u1161 \uac00\u0301\u11a8",
    "\u0b47\u0b3e \u0b47\u0300\u0b3e \u0cc6\u0cc2\u0cd5",
    "\U00011099\U000110ba \U00011131\U00011127",
    "\U00011935\U00011930 \U00016d67\U00016d67 \U000113c2\U000113c2",
    "a\u0898\u0301 a\u0301\u0898 \u1abf\u0323 \U0001e2ec\u0316",
]
EMOJI = """😀 ❤️ 👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇫🇷 ☎︎ 1️⃣ #️⃣ 🧑🏿‍🚀 ✈️ ♥ 🫠 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👁️‍🗨️ ©️ ™ 🐈‍⬛ ❤️‍🔥""".split()
ODD = [
    "\x00",
    "\x07bell",
    "\x1b[31m",
    "a\x1cb\x1dc\x1ed\x1fe",
    "\x7f",
    "\x80\x85\x9f",
    "\u00ad",
    "zero\u200bwidth",
    "\u200c\u200d",
    "\u2060",
    "\ufeff",
    "\u180e",
    "\u202eRTL\u202c",
    "\u2066iso\u2069",
    "\ufffd",
    "\ufffe\uffff",
    "\ue000",
    "\U000f0000",
    "\U0010ffff",
    "a\u034fb",
    "\u115f\u3164\uffa0",
    "  lead",
    "trail  ",
    "a \t\r\n b",
    "a\u00a0b",
    "a\u2003\u2009b",
    "a\u2028b\u2029c",
    "a\u3000b",
    "a\u1680b\u202fc\u205fd",
    "\v\f",
    "",
    " ",
    "\n\n",
]
CONTRACTIONS = [
    "'s",
    "'t",
    "'re",
    "'ve",
    "'m",
    "'ll",
    "'d",
    "'S",
    "'T",
    "'RE",
    "'Ve",
    "'M",
    "'LL",
    "'D",
    "’s",
    "’ll",
    "'",
    "''",
    "'x",
    "'l",
    "'r",
    "'street",
    "'death",
]
LITERALS = [
    BOS,
    EOS,
    BOS.upper(),
    EOS.upper(),
    "<|EndOfText|>",
    "<|endoftext|",
    "<endoftext>",
    "|>",
    "<|",
    "<|pad|>",
    "<|endoftext |>",
    "<|startoftext|>" * 2,
]
MARKS = [
    chr(c)
    for c in [
        0x300,
        0x301,
        0x302,
        0x303,
        0x306,
        0x307,
        0x308,
        0x30A,
        0x30C,
        0x315,
        0x31B,
        0x323,
        0x327,
        0x328,
        0x32D,
        0x334,
        0x338,
        0x345,
        0x591,
        0x5BC,
        0x64B,
        0x654,
        0x670,
        0x93C,
        0x94D,
        0xE38,
        0xF71,
        0xF72,
        0x302A,
        0x3099,
        0x309A,
        0x1D165,
        0x1D16D,
    ]
]


def corpus_lines(rng, scale, vocabulary):
    subjects = [s.strip() for s in SUBJECTS.split(";")]
    styles = [s.strip() for s in STYLES.split(";")]
    words = [w.removesuffix("</w>") for w in vocabulary[512:-2]]

    yield from SCRIPTS + ODD + EMOJI + CONTRACTIONS + LITERALS
    for script in SCRIPTS:
        yield script.upper()
        yield script.lower() + "'s" + script.replace(" ", "")
    for _ in range(6 * scale):  # captions
        text = f"{rng.choice(['a', 'A photo of', 'the', '', 'An'])} {rng.choice(subjects)}, {rng.choice(styles)}"
        if rng.random() < 0.2:
            text = rng.choice(
                [text.upper(), text.title(), text.replace(" ", ""), text + " " + rng.choice(EMOJI)]
            )
        yield text
    for _ in range(6 * scale):  # letters glued and cut in unusual places: many different merges
        yield "".join(
            rng.choice(words)[: rng.randint(1, 9)] + rng.choice(["", "", " ", "-"])
            for _ in range(rng.randint(1, 7))
        )
    for _ in range(3 * scale):  # contractions
        yield "".join(
            rng.choice(["i", "We", "YOU", " ", "12", "!", "é"]) + rng.choice(CONTRACTIONS)
            for _ in range(rng.randint(1, 5))
        )
    for _ in range(3 * scale):  # special literals, glued
        yield "".join(
            rng.choice(["", " ", "a", "!!", "'s", "7", "\u0301"]) + rng.choice(LITERALS + ["!"])
            for _ in range(rng.randint(1, 4))
        )
    for _ in range(3 * scale):  # numbers
        yield "".join(
            rng.choice(["7", "1,234", "3.14", "٣", "²", "½", "Ⅻ", "x", " ", "-", "％"])
            for _ in range(rng.randint(1, 10))
        )
    for _ in range(4 * scale):  # mixed scripts, emoji, oddities
        yield rng.choice(["", " "]).join(
            rng.choice(rng.choice([SCRIPTS, EMOJI, ODD, subjects]))
            for _ in range(rng.randint(2, 3))
        )
    bases = "aeiouAEOUcnsyzKgΑΩΙиЕअकกカハ\u1100\uac00\u0b47"
    for _ in range(8 * scale):  # combining marks in any order
        yield "".join(
            rng.choice(bases) + "".join(rng.choices(MARKS, k=rng.randint(0, 4)))
            for _ in range(rng.randint(1, 4))
        )
    nfc_text = [c for c in SCALARS if normalizers.NFD().normalize_str(chr(c)) != chr(c)]
    for _ in range(4 * scale):  # what decomposes, and its decompositions
        text = "".join(chr(rng.choice(nfc_text)) for _ in range(rng.randint(1, 4)))
        yield (
            text
            if rng.random() < 0.4
            else normalizers.NFD().normalize_str(text) + rng.choice(MARKS)
        )
    for _ in range(10 * scale):  # all planes
        top = rng.choice([0x80, 0x250, 0x800, 0x3000, 0x10000, 0x20000, 0x110000])
        codes = (rng.randrange(top) for _ in range(rng.randint(1, 8)))
        yield "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)
    for _ in range(4 * scale):  # random bytes, some of them cut from real text
        if rng.random() < 0.5:
            yield bytes(
                rng.choice(
                    [
                        rng.randrange(256),
                        rng.randrange(0x80, 0xC0),
                        rng.choice(b"\xe2\xf0\xed\xf4\xe0\xc3a "),
                    ]
                )
                for _ in range(rng.randint(1, 12))
            )
        else:
            text = rng.choice(SCRIPTS + EMOJI).encode()
            start = rng.randrange(len(text))
            yield text[start : start + rng.randint(1, 12)]
    yield from ["word " * 100, "1234567890" * 9, "!" * 300, "a" * 500, "\U0001f600" * 40]


def escape(text):
    """Printable UTF-8 as it is; a byte as \\xHH, any other code point as \\u{H}."""
    if isinstance(text, bytes):
        return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in text)
    out = []
    for char in text:
        plain = char == " " or (char.isprintable() and char != "\\")
        if char < "\x80" and not plain:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char if plain else f"\\u{{{ord(char):x}}}")
    return "".join(out)


def write_corpus(path, scale):
    tokenizer = CLIPTokenizer.from_pretrained(str(MODEL))
    lines = [
        f"# {VERSIONS}: CLIPTokenizer without special tokens, vocabulary of {MODEL}",
        "# By tools/reference/export_tokenizer.py. text <tab> ids; \\xHH: byte, \\u{H}: code point",
    ]
    seen = set()
    vocabulary = list(json.loads((MODEL / "vocab.json").read_text()))
    for text in corpus_lines(random.Random(20240229), scale, vocabulary):
        key = escape(text)
        if key in seen:
            continue
        seen.add(key)
        decoded = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
        ids = tokenizer(decoded, add_special_tokens=False, verbose=False).input_ids
        lines.append(key + "\t" + " ".join(map(str, ids)))
    path.write_text("\n".join(lines) + "\n")
    print(path, len(lines) - 2, "lines", path.stat().st_size, "bytes")


# --- variants -------------------------------------------------------------------------------------


def byte_symbols():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in printable}
    for byte in range(256):
        table.setdefault(byte, chr(0x100 + len([b for b in range(byte) if b not in printable])))
    return [table[b] for b in printable] + [table[b] for b in range(256) if b not in printable]


def small_vocabulary():
    """CLIP's structure in 535 tokens, with merges chosen for order and collisions. Two byte symbols
    are missing, so that they become the unknown token."""
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols]
    for missing in ["~", "~</w>", "Ã"]:
        tokens.remove(missing)
    merges = [
        ("a", "b"), ("b", "c"), ("ab", "c</w>"), ("a", "bc</w>"), ("b", "c</w>"), ("a", "bc"), ("ab", "c"),
        ("#", "#"), ("#", "#</w>"), ("##", "##</w>"), ("#", "##</w>"),
        ("x", "x"), ("xx", "xx"), ("x", "x</w>"), ("xx", "x</w>"), ("xx", "xx</w>"),
        ("c", "a"), ("ca", "t</w>"), ("a", "t</w>"), ("c", "at</w>"),
        ("l", "l</w>"), ("'", "ll</w>"), ("'", "s</w>"),
        ("c", "d"), ("d", "e"), ("c", "d"),  # listed twice: the last counts
    ]  # fmt: skip
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    tokens += [BOS, EOS, "<new>", "[PAD]"]
    return {token: index for index, token in enumerate(tokens)}, merges


TEXTS = [
    "",
    "a cat!",
    "abc abcabc xabc abca aabbcc",
    "##",
    "# ## ### #### #####",
    "x xx xxx xxxx xxxxx xxxxxxx",
    "cat's cat'll cat",
    "cdex cd",
    "caT CATS",
    "~ a~ ~~ ~a",
    "Ã ã Ä",
    EOS,
    EOS.upper() + "!!",
    "x<|startOFtext|>y",
    "!!! " + EOS + BOS + "a",
    "<new> <NEW> a<new>b\u0301",
    "[pad] [PAD][PAD]",
    " " + EOS + "  b",
    "<|endoftext|>\u0301e\u0301",
    "a" * 30,
    "hello! 12, ok?",
    "<|ENDOFTEXT|>'s<|endoftext|>'S",
]


def token(content, normalized, **rest):
    return {
        "content": content,
        "lstrip": False,
        "normalized": normalized,
        "rstrip": False,
        "single_word": False,
        **rest,
    }


def added(content, normalized):
    return token(content, normalized, __type="AddedToken")


def variants():
    """name -> files besides the vocabulary; shapes found in published checkpoints first."""
    vocab, _ = small_vocabulary()
    bos, eos = str(vocab[BOS]), str(vocab[EOS])
    decoder = {
        "0": token("!", False, special=True),
        bos: token(BOS, True, special=True),
        eos: token(EOS, False, special=True),
    }
    names = {
        "bos_token": token(BOS, True),
        "eos_token": token(EOS, True),
        "unk_token": token(EOS, True),
    }
    config = {
        "bos_token": added(BOS, True),
        "eos_token": added(EOS, True),
        "unk_token": added(EOS, True),
        "pad_token": EOS,
        "model_max_length": 77,
    }
    return {
        "strings": (
            {"model_max_length": 77},
            {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": EOS},
        ),
        "sd15": (config, {**names, "pad_token": EOS}),
        "sd21": (config, {**names, "pad_token": "!"}),
        "sdxl_second": (
            {
                "added_tokens_decoder": decoder,
                "pad_token": "!",
                "bos_token": BOS,
                "eos_token": EOS,
                "model_max_length": 77,
            },
            {**names, "pad_token": EOS},
        ),
        "no_configs": (None, None),
        "config_alone": (
            {
                "bos_token": added(BOS, True),
                "eos_token": added(EOS, True),
                "unk_token": EOS,
                "pad_token": "[PAD]",
                "model_max_length": 1e30,
            },
            None,
        ),
        "map_alone": (None, {"bos_token": token(BOS, True), "eos_token": token(EOS, True)}),
        "entry_repeated": (
            None,
            {
                "eos_token": token(EOS, False),
                "unk_token": token(EOS, True),
                "pad_token": token(EOS, False),
            },
        ),
        "string_repeated": (
            None,
            {"eos_token": EOS, "unk_token": token(EOS, True), "pad_token": EOS},
        ),
        "last_entry_counts": (
            None,
            {"eos_token": EOS, "unk_token": EOS, "pad_token": token(EOS, True)},
        ),
        "says_little": (
            {
                "unk_token": {"__type": "AddedToken", "content": EOS},
                "pad_token": {"__type": "AddedToken", "content": "[PAD]"},
                "eos_token": EOS,
            },
            {"bos_token": {"content": BOS}},
        ),
        "extra_tokens": (
            {"additional_special_tokens": ["<new>", "[PAD]"], "model_max_length": 20},
            None,
        ),
        "extra_objects": (
            {"extra_special_tokens": [added("<new>", True), "[PAD]"]},
            {"mask_token": "cat</w>"},
        ),
        "unknown_is_new": ({"unk_token": "<new>", "model_max_length": 8}, None),
        "stripping": (
            {"eos_token": dict(added(EOS, False), lstrip=True, rstrip=True)},
            {"unk_token": token("<new>", True, lstrip=True), "pad_token": "[PAD]"},
        ),
    }


def write_variants(path):
    vocab, merges = small_vocabulary()
    cases = []
    for name, (config, special_map) in variants().items():
        for one_file in [False, True]:
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                files = {
                    "vocab.json": json.dumps(vocab),
                    "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges),
                }
                if config is not None:
                    files["tokenizer_config.json"] = json.dumps(config)
                if special_map is not None:
                    files["special_tokens_map.json"] = json.dumps(special_map)
                for file, text in files.items():
                    (folder / file).write_text(text)
                tokenizer = CLIPTokenizer.from_pretrained(str(folder))
                if one_file:
                    tokenizer.backend_tokenizer.no_padding()
                    tokenizer.backend_tokenizer.no_truncation()
                    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
                    (folder / "vocab.json").unlink()
                    (folder / "merges.txt").unlink()
                    added_tokens = json.loads((folder / "tokenizer.json").read_text())[
                        "added_tokens"
                    ]
                    # Flip how they match: the file's word must count where nothing overrides it.
                    for entry in added_tokens:
                        entry["normalized"] = not entry["normalized"]
                    whole = json.loads((folder / "tokenizer.json").read_text()) | {
                        "added_tokens": added_tokens
                    }
                    (folder / "tokenizer.json").write_text(json.dumps(whole))
                    tokenizer = CLIPTokenizer.from_pretrained(str(folder))
                window = 77 if tokenizer.model_max_length > 65536 else tokenizer.model_max_length
                case = {"name": name + ("_one_file" if one_file else ""), "window": window}
                if config is not None:
                    case["tokenizer_config.json"] = config
                if special_map is not None:
                    case["special_tokens_map.json"] = special_map
                if one_file:
                    case["added_tokens"] = added_tokens
                case |= {
                    "bos": tokenizer.bos_token_id,
                    "eos": tokenizer.eos_token_id,
                    "pad": tokenizer.pad_token_id,
                }
                case["ids"] = [
                    tokenizer(t, add_special_tokens=False, verbose=False).input_ids for t in TEXTS
                ]
                case["windows"] = [
                    tokenizer(t, padding="max_length", truncation=True, max_length=window).input_ids
                    for t in TEXTS[1:3]
                ]
                cases.append(case)
    data = {
        "reference": VERSIONS,
        "vocab": vocab,
        "merges": [f"{a} {b}" for a, b in merges],
        "texts": TEXTS,
    }
    lines = [json.dumps(case, ensure_ascii=True) for case in cases]
    head = json.dumps(data, ensure_ascii=True)[:-1]
    path.write_text(head + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")
    print(path, len(cases), "cases", path.stat().st_size, "bytes")


# --- the embedded vocabulary ----------------------------------------------------------------------


def openai_vocabulary():
    """Ids as OpenAI's simple_tokenizer.py gives them out."""
    merges = OPENAI_MERGES.read_text().splitlines()[1:]
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols]
    tokens += [merge.replace(" ", "") for merge in merges] + [BOS, EOS]
    assert len(tokens) == len(set(tokens)) == 49408
    return tokens


def openai_tokenizer(folder, tokens, config, special_map):
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text(OPENAI_MERGES.read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(special_map))
    return CLIPTokenizer.from_pretrained(str(folder))


def write_openai(path):
    tokens = openai_vocabulary()
    shapes = variants()
    lines = [
        f"# {VERSIONS}: CLIPTokenizer without special tokens, vocabulary of {OPENAI_MERGES}",
        '# text <tab> ids with SD 1.5\'s configs <tab> ids with SD 2.1\'s, whose padding is "!", if others',
    ]
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        ends = openai_tokenizer(Path(first), tokens, *shapes["sd15"])
        # SD 2.1's, with EOS verbatim as in SD 1.5: which letter cases of a written EOS count differs
        # between published configs, the padding is what matters.
        config, special_map = shapes["sd21"]
        marks = openai_tokenizer(Path(second), tokens, config, special_map | {"unk_token": EOS})
        assert (ends.pad_token_id, marks.pad_token_id) == (49407, 0)
        texts = list(corpus_lines(random.Random(20250811), 8, tokens))
        texts += [f"a {s.strip()}{e}" for s in SUBJECTS.split(";") for e in ("!", "!!!", " ! ok", "?!")]
        whole = [t.removesuffix("</w>") for t in tokens[512:-2] if t.isascii() and t.endswith("</w>")]
        texts += [" ".join(whole[i::len(whole) // 8][:8]) for i in range(0, len(whole) // 8, 29)]
        for text in dict.fromkeys(texts):
            decoded = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
            ids, other = (
                " ".join(map(str, t(decoded, add_special_tokens=False, verbose=False).input_ids))
                for t in (ends, marks)
            )
            lines.append(escape(text) + "\t" + ids + ("" if other == ids else "\t" + other))
    path.write_text("\n".join(lines) + "\n")
    print(path, len(lines) - 2, "lines", path.stat().st_size, "bytes")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["corpus", "variants", "openai"])
    parser.add_argument(
        "--scale", type=int, default=110, help="corpus size; 110 gives about 5500 lines"
    )
    arguments = parser.parse_args()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    if arguments.only in (None, "corpus"):
        write_corpus(FIXTURES / "clip_corpus.txt", arguments.scale)
    if arguments.only in (None, "variants"):
        write_variants(FIXTURES / "clip_variants.json")
    if arguments.only in (None, "openai"):
        write_openai(FIXTURES / "clip_openai.txt")


if __name__ == "__main__":
    main()
