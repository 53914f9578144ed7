"""Writes src/tokenizers/unicode_data.cpp: the character classes, the lower case and the list of
composable characters that the installed tokenizers library uses, found by asking it about every
code point. Run from the repository root: python tools/reference/export_unicode_tables.py
"""

from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

TARGET = Path("src/tokenizers/unicode_data.cpp")
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def class_members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    found = set()
    for start in range(0, len(SCALARS), 4096):
        text = "".join(map(chr, SCALARS[start : start + 4096]))
        for piece, _ in split.pre_tokenize_str(text):
            found.update(map(ord, piece))
    return found


def composable_members():
    """Everything that NFC may change: combining marks, characters with a decomposition, and both
    halves of compositions."""
    nfc = normalizers.NFC().normalize_str
    nfd = normalizers.NFD().normalize_str
    low, high = "\u0334", "\u0345"  # combining classes 1 and 240, the ends of the scale
    found = {ord(low), ord(high)}
    for code in SCALARS:
        char = chr(code)
        parts = nfd(char)
        if parts != char:
            found.add(code)
            found.update(map(ord, parts))
            first = nfc(parts[:-1])
            if len(first) == 1 and nfc(parts) == char:
                found.add(ord(first))
        elif (
            nfc("a" + char + low) != "a" + char + low or nfc("a" + high + char) != "a" + high + char
        ):
            found.add(code)
    return found


def ranges(members):
    out = []
    for code in sorted(members):
        if out and out[-1][1] + 1 == code:
            out[-1][1] = code
        else:
            out.append([code, code])
    return out


def case_ranges():
    lower = normalizers.Lowercase().normalize_str
    deltas = {}
    for code in SCALARS:
        image = lower(chr(code))
        if code == 0x130:
            assert image == "i\u0307"
        else:
            assert len(image) == 1, hex(code)
        if image != chr(code):
            deltas[code] = ord(image[0]) - code
    out = []  # first, last, stride, delta
    for code in sorted(deltas):
        delta = deltas[code]
        if out:
            first, last, stride, same = out[-1]
            step = code - last
            if delta == same and (step == stride or (first == last and step <= 2)):
                out[-1] = [first, code, step, delta]
                continue
        out.append([code, code, 1, delta])
    return out


def check_context_free():
    lower = normalizers.Lowercase().normalize_str
    assert lower("\u039f\u0394\u039f\u03a3 \u03a3") == "\u03bf\u03b4\u03bf\u03c3 \u03c3"


def check_spaces():
    spaces = [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029]
    assert sorted(class_members(r"\s")) == spaces + [0x202F, 0x205F, 0x3000]


def cpp_table(element, name, rows, comment):
    lines, line = [], " "
    for row in rows:
        cells = [f"0x{row[0]:X}", f"0x{row[1]:X}", *map(str, row[2:])]
        cell = " {" + ", ".join(cells) + "},"
        if len(line) + len(cell) > 100:
            lines.append(line)
            line = " "
        line += cell
    lines.append(line)
    body = "\n".join(lines)
    return f"const {element} {name}Data[] = {{  // {comment}\n{body}\n}};\n"


def write_tables(path):
    check_context_free()
    check_spaces()
    letters = ranges(class_members(r"\p{L}"))
    numbers = ranges(class_members(r"\p{N}"))
    composable = ranges(composable_members())
    lower = case_ranges()
    parts = [
        "// Written by tools/reference/export_unicode_tables.py, not by hand, from tokenizers "
        f"{tokenizers.__version__}.\n// What the tables mean stands in unicode_tables.h.\n"
        '#include "tokenizers/unicode_tables.h"\n\n'
        "namespace tintype::unicode {\n\nnamespace {\n\n// clang-format off\n",
        cpp_table("Range", "kLetters", letters, "Unicode 16"),
        cpp_table("Range", "kNumbers", numbers, "Unicode 16"),
        cpp_table("Range", "kComposable", composable, "Unicode 9"),
        cpp_table("CaseRange", "kLowerCase", lower, "Unicode 17"),
        "// clang-format on\n\n}  // namespace\n",
        "const std::span<const Range> kLetters = kLettersData;\n"
        "const std::span<const Range> kNumbers = kNumbersData;\n"
        "const std::span<const Range> kComposable = kComposableData;\n"
        "const std::span<const CaseRange> kLowerCase = kLowerCaseData;\n",
        "}  // namespace tintype::unicode\n",
    ]
    path.write_text("\n".join(parts))


if __name__ == "__main__":
    write_tables(TARGET)
