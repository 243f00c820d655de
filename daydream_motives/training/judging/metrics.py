"""What is measured of answers, in the order it is told. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less", "gold"]  # "gold": as the right answers have it
Group = Literal["likelihood", "form", "variety", "meaning"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its key, what it is called, which way is better, what it says."""

    key: str
    title: str
    group: Group
    better: Better
    text: str
    percent: bool = False


METRICS = (
    Metric("loss", "Loss", "likelihood", "less",
           "Nats per token of the right answers, scaffolding and end of turn with them."),
    Metric("perplexity", "Perplexity", "likelihood", "less", "The same as e to its power."),
    Metric("valid", "Valid", "form", "more",
           "Answers that the game can take as they are: three purposes, each one line of at most "
           "60 words with letters in it, no two of them near-duplicates.", True),
    Metric("unknown_names", "Unknown names", "form", "less",
           "Purposes that name somebody or something the prompt does not tell.", True),
    Metric("words", "Words", "form", "gold", "Words of a purpose."),
    Metric("distinct_2", "Distinct-2", "variety", "more",
           "Different runs of two words by all runs of two words."),
    Metric("self_bleu", "Self-BLEU", "variety", "less",
           "How far each purpose could be put together from all others (BLEU-4)."),
    Metric("twins", "Near-duplicates in an answer", "variety", "less",
           "Pairs of purposes of one answer that share most of their words.", True),
    Metric("repeats", "Near-duplicates of other answers", "variety", "less",
           "Purposes that nearly repeat one of another answer, names left out.", True),
    Metric("copied", "Copied from the prompt", "variety", "gold",
           "Runs of four words that stand in the prompt.", True),
    Metric("within", "Similarity in an answer", "variety", "gold",
           "Cosine of two purposes of one answer, by MiniLM."),
    Metric("hit_1", "Hit@1", "meaning", "more",
           "Answers closer to their own right answer than to any other of their pool.", True),
    Metric("hit_3", "Hit@3", "meaning", "more", "The same among the three closest.", True),
    Metric("mrr", "MRR", "meaning", "more", "One by the rank of the right answer, on average."),
    Metric("contrast", "Contrast sets", "meaning", "more",
           "Members of contrast sets whose answer is closest to their own right one.", True),
    Metric("rank_lift", "Rank lift", "meaning", "more",
           "MRR by the first purpose alone less MRR by the third alone."),
)  # fmt: skip
BY_KEY = {metric.key: metric for metric in METRICS}
EMBEDDED = frozenset({"within", "hit_1", "hit_3", "mrr", "contrast", "rank_lift"})
CONTROLS = ("gold", "echo", "overlap", "chance")  # what stands beside a figure, where it applies
