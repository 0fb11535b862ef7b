"""Tests of the model's recipe that need no torch: documents, groups, folds, cleaning, pieces. `python3 -m unittest discover scripts`."""

import json
import lzma
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models" / "recipe"))

import markov  # noqa: E402
import pieces  # noqa: E402
import texts  # noqa: E402


def row(text, family="a", machine=False, pair=None):
    return texts.Row(family, machine, text, texts.group(text), pair, None, None, None)


class Corpus(unittest.TestCase):
    def test_documents_are_parted_at_their_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train-000.txt.xz")
            with lzma.open(path, "wt", encoding="utf-8") as f:
                f.write("one\ntwo\n<|endoftext|>\nthr<|endoftext|>ee\n<|endoftext|>\nfour")
            paths = texts.expand([folder + "/train-*.txt.xz"])
            self.assertEqual(list(texts.documents(paths)), ["one\ntwo\n", "thr<|endoftext|>ee\n", "four"])
            self.assertEqual(list(texts.documents(paths, every=2)), ["one\ntwo\n", "four"])
            self.assertEqual(list(texts.documents(paths, limit=8)), ["one\ntwo\n"])
            with self.assertRaisesRegex(SystemExit, "no such file"):
                texts.expand([folder + "/absent-*"])


class Rows(unittest.TestCase):
    def test_texts_that_start_alike_are_one_group(self):
        self.assertEqual(texts.group("The  CAT, sat\non"), texts.group("the cat sat ON"))
        self.assertEqual(texts.group("é1" * 20), texts.group("É1" * 90))
        self.assertNotEqual(texts.group("the cat sat"), texts.group("the cat sits"))
        # the value of the program's own test
        self.assertEqual(f"{texts.group('The cat sat on'):016x}", "68e7bb4643c83c9d")

    def test_a_pair_has_the_group_of_its_human_text(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "set.jsonl")
            lines = [{"text": "by a machine", "label": "machine", "pair": "1"}, {"text": "by a human", "label": "human", "pair": "1"}, {"text": "alone", "label": "human"}]
            path.write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
            found = texts.rows([str(path)])
            self.assertEqual([(r.family, r.machine, r.group) for r in found],
                             [("set", False, texts.group("by a human")), ("set", False, texts.group("alone")), ("set", True, texts.group("by a human"))])
            path.write_text('{"text":"x","label":"robot"}\n', encoding="utf-8")
            with self.assertRaisesRegex(SystemExit, "line 1: .*'robot'"):
                texts.rows([str(path)])

    def test_a_fold_sees_no_document_of_its_families(self):
        shared = row("The same document as elsewhere", "b")
        found = [row("The same document, as elsewhere.", "a"), shared, row("Another one", "b"), row("Never used", "c")]
        first, second = texts.held_out(found, {"a": 0, "b": 1, "c": None})
        self.assertEqual(first, {shared.group})
        self.assertEqual(second, {shared.group, texts.group("Another one")})
        with self.assertRaisesRegex(SystemExit, "no fold is named for c"):
            texts.held_out(found, {"a": 0, "b": 1})
        with self.assertRaisesRegex(SystemExit, "^b: has no fold but shares"):
            texts.held_out(found, {"a": 0, "b": None, "c": None})


class Cleaning(unittest.TestCase):
    def test_what_gives_a_data_set_away_goes(self):
        self.assertEqual(texts.clean("Here is a 6 sentence news article:\n\nIt  rained .\nI do n't care"), "It rained. I don't care")
        self.assertEqual(texts.clean("It burned.Shops closed ( early ) at 5.30"), "It burned. Shops closed (early) at 5.30")
        self.assertEqual(texts.clean("“Quoted” see https://example.org/a?b"), '"Quoted" see http')
        kept = "Here we went. Sure of nothing, e.g. Mr. Smith's U.S. trip ..."
        self.assertEqual(texts.clean(kept), kept)

    def test_a_prompt_that_both_sides_start_with_is_skipped(self):
        prompt = "A prompt of more than twenty letters "
        human, machine, other = row(prompt + "and so on", pair="1"), row(prompt + "or not", machine=True, pair="1"), row("A", machine=True, pair="2")
        texts.mark_shared_starts([human, machine, other])
        self.assertEqual([human.skip, machine.skip, other.skip], [len(prompt), len(prompt), 0])


class Chains(unittest.TestCase):
    def test_a_word_follows_two_words_or_one_or_begins(self):
        chain = markov.Chain([line.split() for line in ("a b c", "a b d", "x b e", "y z f")])
        seen = []
        choice = lambda found: seen.append(found) or found[0]  # noqa: E731
        chain.next(["a", "b"], choice)
        chain.next(["x", "b"], choice)
        chain.next(["z"], choice)
        chain.next(["y", "f"], choice)
        self.assertEqual(seen, [["c", "d"], ["c", "d", "e"], ["f"], ["a", "a", "x", "y"]])
        self.assertEqual(chain.text(5, lambda found: found[-1]), "y z f y z")


class Pieces(unittest.TestCase):
    def test_files_come_back_whole_or_not_at_all(self):
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ("large", "empty")]
            files[0].write_bytes(bytes(range(256)) * 10)
            files[1].write_bytes(b"")
            cut, back = Path(folder, "cut"), Path(folder, "back")
            pieces.split(str(cut), [str(f) for f in files], 1000)
            self.assertEqual(sorted(p.name for p in cut.iterdir()), ["empty.000", "large.000", "large.001", "large.002", "pieces.json"])
            pieces.join(str(cut), str(back))
            self.assertEqual([(back / f.name).read_bytes() for f in files], [f.read_bytes() for f in files])
            (cut / "large.001").write_bytes(bytes(1000))
            with self.assertRaisesRegex(SystemExit, "large: the pieces"):
                pieces.join(str(cut), str(back))


if __name__ == "__main__":
    unittest.main()
