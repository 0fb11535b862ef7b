"""Tests of the card's tables. `python3 -m unittest discover scripts`."""

import unittest

import card

ESTIMATE = {"value": 0.9004, "low": 0.8, "high": 1.0}
NONE = {"auroc": None, "tpr_at_fpr_01": None, "tpr_at_fpr_05": None}
SOME = {name: ESTIMATE for name in NONE}


def figures(name, **changes):
    usual = {
        **SOME,
        "name": name,
        "human": 1224,
        "machine": 10,
        "length_auroc": 0.55,
        "line_break_auroc": 0.5,
        "equal_lengths": NONE,
        "without_line_breaks": SOME,
        "human_without_line_breaks": 7,
        "machine_without_line_breaks": 3,
        "flagged": [{"level": level, "human": {"share": 0.026, "low": low, "high": 0.037}} for level, low in ((0.01, 0.018), (0.05, 0.02))],
    }
    return {**usual, **changes}


class Tables(unittest.TestCase):
    def test_rows_are_made_anew_and_the_cards_own_columns_kept(self):
        old = [
            "| left out | repository | human | machine | AUROC | TPR@1% | TPR@5% | humans flagged at 1% | at 5% |",
            "|---|---|---:|---:|---|---|---|---|---|",
            "| news B | someone/news | 1 | 1 | 0.1 | | | | |",
            "| without line breaks | | 1 | 1 | 0.1 | | | | |",
            "| gone | someone/gone | 1 | 1 | 0.1 | | | | |",
        ]
        people = figures("people", machine=0, **NONE, length_auroc=None, line_break_auroc=None)
        new = card.table(old, {"by_file": [figures("news", line_break_auroc=0.7), people]})
        measured = "0.900 [0.800 1.000] | 90% [80 100] | 90% [80 100]"
        rates = "**2.6% [1.8 3.7]** | 2.6% [2.0 3.7]"
        self.assertEqual(new[2:], [
            f"| news B | someone/news | 1,224 | 10 | {measured} | {rates} |",
            f"| without line breaks |  | 7 | 3 | {measured} |  |  |",
            f"| people |  | 1,224 | 0 |  |  |  | {rates} |",
        ])

    def test_what_has_one_label_is_no_row_of_a_generator(self):
        old = ["| generator | human | machine | AUROC | TPR@1% | TPR@5% |", "|---|---:|---:|---|---|---|", "| a | 1 | 1 | | | |"]
        new = card.table(old, {"by_generator": [figures("a", **NONE), figures("b", length_auroc=0.39)]})
        self.assertEqual([card.cells(line)[0] for line in new[2:]], ["b L", "at equal lengths"])

    def test_other_tables_stay(self):
        other = ["| attack | AUROC | TPR@1% | TPR@5% |", "|---|---:|---:|---:|", "| none | 1.000 | 100% | 100% |"]
        bins = ["| length | human | machine | AUROC | TPR@1% | TPR@5% |", "|---|---:|---:|---:|---:|---:|", "| all | 1 | 1 | 0.8 | 1% | 2% |"]
        self.assertEqual([card.table(t, {"by_attack": [], "by_length": []}) for t in (other, bins)], [other, bins])

    def test_the_fit_has_its_own_table_by_length(self):
        old = ["| length | human | machine | AUROC | TPR@1% | TPR@5% |", "|---|---:|---:|---:|---:|---:|", "| all | 1 | 1 | 0.8 | 1% | 2% |"]
        quality = {"human": 1200, "machine": 9, "auroc": 0.84649, "tpr_at_fpr_01": 0.331, "tpr_at_fpr_05": 0.5}
        fit = {"overall": quality, "bins": [{**quality, "from_tokens": start} for start in (8, 24, 256)]}
        rest = "1,200 | 9 | 0.846 | 33.1% | 50.0% |"
        names = ["all", "8 to 23 tokens", "24 to 255", "256 or more"]
        self.assertEqual(card.table(old, None, fit)[2:], [f"| {name} | {rest}" for name in names])

    def test_printed_tables_are_found_by_their_heads(self):
        text = "Words.\n\n| set | 30% |\n|---|---|\n| a | 3 |\n\n| other | 1 |\n|---|---|\n"
        self.assertEqual(card.tables(text)["set", "30%"], ["| set | 30% |", "|---|---|", "| a | 3 |"])
        self.assertEqual(len(card.tables(text)), 2)


if __name__ == "__main__":
    unittest.main()
