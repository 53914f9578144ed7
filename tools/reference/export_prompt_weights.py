"""Windows and weights of prompts, written down from the published rules in numpy, apart from src/.

AUTOMATIC1111's and ComfyUI's programs are not packages, so these numbers come from their rules as
described, not from running them:
  A1111  windows of 75 words; when one is full and the next token is no comma, the words after a
         comma at most 20 back move along; features times weight, then scaled to the old mean of
         the window.
  Comfy  words of fewer than 8 tokens are not cut; z_empty + (z - z_empty) * weight.

Writes tests/fixtures/prompts/{windows,weights}.json. Token ids come from transformers' tokenizer.
"""

import json
import math

import numpy as np

from common import DEMO_MODEL, FIXTURE_LIMIT_BYTES, REPO, transformers, versions

OUT = REPO / "tests" / "fixtures" / "prompts"
BACKTRACK = 20


def load_tokenizer():
    return transformers.CLIPTokenizer.from_pretrained(DEMO_MODEL / "tokenizer")


def words_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def wrap(tokenizer, words):
    """(id, weight) pairs of the words of one window -> its ids and weights."""
    size = tokenizer.model_max_length
    ids = [tokenizer.bos_token_id] + [i for i, _ in words] + [tokenizer.eos_token_id]
    weights = [1.0] + [w for _, w in words] + [1.0]
    ids += [tokenizer.pad_token_id] * (size - len(ids))
    weights += [1.0] * (size - len(weights))
    return {"ids": ids, "weights": weights}


def a1111_windows(tokenizer, fragments, backtrack):
    """Plans cuts over the flat list of words, rather than filling windows one by one."""
    room = tokenizer.model_max_length - 2
    (comma,) = words_of(tokenizer, ",")
    windows = []
    parts = [[]]
    for fragment in fragments:
        if fragment == "BREAK":
            parts.append([])
        else:
            text, weight = fragment
            parts[-1] += [(i, weight) for i in words_of(tokenizer, text)]
    for number, words in enumerate(parts):
        last = number == len(parts) - 1
        if not words and not (last and windows):
            windows.append([])
        start = 0
        while start < len(words):
            end = min(start + room, len(words))
            if end < len(words) and words[end][0] != comma and backtrack:
                # A comma that starts a window because the one before was full is not remembered.
                low = start + (1 if start > 0 and not moved and words[start][0] == comma else 0)
                commas = [k for k in range(low, end) if words[k][0] == comma]
                if commas and end - commas[-1] <= backtrack:
                    windows.append(words[start : commas[-1] + 1])
                    start, moved = commas[-1] + 1, True
                    continue
            windows.append(words[start:end])
            start, moved = end, False
    return [wrap(tokenizer, w) for w in windows]


def comfy_windows(tokenizer, fragments):
    room = tokenizer.model_max_length - 2
    windows = [[]]
    for text, weight in fragments:
        for word in text.replace("\n", " ").split(" "):
            ids = words_of(tokenizer, word) if word else []
            group = [(i, weight) for i in ids]
            if len(group) < 8 and len(windows[-1]) + len(group) > room:
                windows.append([])
            while group:
                if len(windows[-1]) == room:
                    windows.append([])
                free = room - len(windows[-1])
                windows[-1] += group[:free]
                group = group[free:]
    return [wrap(tokenizer, w) for w in windows]


def window_cases(tokenizer):
    long_list = ", ".join(["red apple", "green tree by the sea", "sun", "blue house"] * 14)
    no_commas = " ".join(["apple tree house"] * 40)
    a1111 = {
        "empty": [["", 1.0]],
        "short": [["a red apple", 1.0]],
        "weights": [["a ", 1.0], ["red", 1.3], [" apple, ", 1.0], ["sun", 0.5]],
        "break": [["red apple", 1.0], "BREAK", ["green tree", 1.2]],
        "break_first": ["BREAK", ["green tree", 1.2]],
        "break_last": [["green tree", 1.2], "BREAK"],
        "break_twice": [["green tree", 1.2], "BREAK", "BREAK", ["sun", 1.0]],
        "commas": [[long_list, 1.0]],
        "commas_weighted": [[long_list + ", ", 1.0], [long_list, 1.1], ["end", 0.9]],
        "no_commas": [[no_commas, 1.0]],
        "exactly_full": [[" ".join(["a"] * 75), 1.0]],
        "one_over": [[" ".join(["a"] * 76), 1.0]],
        "full_then_comma": [[" ".join(["a"] * 75) + ", b c d", 1.0]],
        "comma_at_end": [[" ".join(["a"] * 74) + ", b c d", 1.0]],
        "comma_20_back": [[" ".join(["a"] * 55) + ", " + " ".join(["b"] * 40), 1.0]],
        "comma_21_back": [[" ".join(["a"] * 54) + ", " + " ".join(["b"] * 40), 1.0]],
        "comma_starts_window": [[" ".join(["a"] * 75) + ", " + " ".join(["b"] * 90), 1.0]],
        "comma_moved_again": [[" ".join(["a"] * 60) + ",,,,, " + " ".join(["b"] * 90), 1.0]],
        "only_commas": [["," + " ," * 200, 1.0]],
    }
    long_word = "-".join(["red", "apple", "tree"] * 8)
    comfy = {
        "empty": [["", 1.0]],
        "short": [["a red apple", 1.0]],
        "weights": [["a ", 1.0], ["red", 1.3], [" apple, ", 1.0], ["sun", 0.5]],
        "commas": [[long_list, 1.0]],
        "kept_word": [[" ".join(["a"] * 73) + " red-apple,sun b", 1.2]],
        "cut_word": [[" ".join(["a"] * 70) + " " + long_word + " b", 1.2]],
        "cut_word_when_full": [[" ".join(["a"] * 75) + " " + long_word, 1.0]],
        "word_of_7_kept": [[" ".join(["a"] * 72) + " a-a-a-a b", 1.0]],
        "word_of_8_cut": [[" ".join(["a"] * 72) + " a-a-a-a- b", 1.0]],
        "lines": [["a\nred\n\napple", 1.0]],
    }
    assert [len(words_of(tokenizer, word)) for word in ("a-a-a-a", "a-a-a-a-")] == [7, 8]
    cases = []
    for name, fragments in a1111.items():
        for backtrack in (BACKTRACK, 0):
            windows = a1111_windows(tokenizer, fragments, backtrack)
            cases.append(
                {
                    "name": name,
                    "syntax": "a1111",
                    "backtrack": backtrack,
                    "fragments": fragments,
                    "windows": windows,
                }
            )
    for name, fragments in comfy.items():
        windows = comfy_windows(tokenizer, fragments)
        cases.append(
            {
                "name": name,
                "syntax": "comfy",
                "backtrack": BACKTRACK,
                "fragments": fragments,
                "windows": windows,
            }
        )
    return cases


def weight_cases():
    rng = np.random.default_rng(5)
    cases = []
    for windows, tokens, width in [(1, 4, 3), (2, 7, 5), (3, 5, 8)]:
        features = rng.standard_normal((windows, tokens, width)).astype(np.float32) + 0.25
        features = features.astype(np.float32)
        empty = rng.standard_normal((1, tokens, width)).astype(np.float32)
        weights = rng.choice([1.0, 1.1, 1.3, 0.5, 1 / 1.1, -0.4], size=(windows, tokens))
        weights = weights.astype(np.float32)
        weights[:, 0] = 1.0
        scaled = features.astype(np.float64) * weights[:, :, None]
        ratio = features.astype(np.float64).mean(axis=(1, 2)) / scaled.mean(axis=(1, 2))
        restored = scaled * ratio[:, None, None]
        moved = empty + (features.astype(np.float64) - empty) * weights[:, :, None]
        assert math.isfinite(float(restored.sum()))
        cases.append(
            {
                "shape": [windows, tokens, width],
                "features": features.ravel().tolist(),
                "empty": empty.ravel().tolist(),
                "weights": weights.ravel().tolist(),
                "mean_restore": restored.ravel().tolist(),
                "away_from_empty": moved.ravel().tolist(),
            }
        )
    return cases


def write(name, data):
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"versions": versions(), "cases": data}, separators=(",", ":"))
    assert len(text) < FIXTURE_LIMIT_BYTES
    (OUT / name).write_text(text.replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    write("windows.json", window_cases(load_tokenizer()))
    write("weights.json", weight_cases())
