"""The papers' text metrics, of continuations beside the true ones; each by the package that people quote.

BLEU and chrF are sacrebleu's, of the whole corpus (Papineni 2002, Popovic 2015; Post 2018). ROUGE-L is rouge-score's,
its F-measure, with stemming (Lin 2004). METEOR is nltk's with exact and Porter-stem matches, without WordNet's
synonyms, hence "METEOR-like" (Banerjee and Lavie 2005). Token F1 is SQuAD's (Rajpurkar 2016): of words, lower case,
without punctuation and articles.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


class _NoSynonyms:
    """A WordNet that knows no word."""

    def synsets(self, word: str) -> list[str]:
        """Return none."""
        return []


def scores(written: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Return each metric of texts beside the true ones, from 0 to 100."""
    import sacrebleu
    from nltk.translate.meteor_score import single_meteor_score
    from rouge_score.rouge_scorer import RougeScorer

    rouge, pairs = RougeScorer(["rougeL"], use_stemmer=True), list(zip(written, true, strict=True))
    words = [(text.split(), right.split()) for text, right in pairs]
    return {
        "BLEU": sacrebleu.corpus_bleu(list(written), [list(true)]).score,
        "chrF": sacrebleu.corpus_chrf(list(written), [list(true)]).score,
        "ROUGE-L": _mean([rouge.score(right, text)["rougeL"].fmeasure for text, right in pairs]),
        "METEOR-like": _mean([single_meteor_score(b, a, wordnet=_NoSynonyms()) for a, b in words]),
        "token F1": _mean([token_f1(text, right) for text, right in pairs]),
    }


def token_f1(text: str, right: str) -> float:
    """Return the F1 of the words that two texts share, each as often as both have it.

    >>> round(token_f1("the cat sat", "a cat sat down"), 3)
    0.8
    """
    a, b = _words(text), _words(right)
    shared = (Counter(a) & Counter(b)).total()
    if not a or not b:
        return float(a == b)
    return 2 * shared / (len(a) + len(b))


def _words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def _mean(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)
