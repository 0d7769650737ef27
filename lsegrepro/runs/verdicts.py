"""How each claim of the paper is judged: rules written down as data, and the function that applies them.

The rules hold no result. They were fixed when a short training of LSE1 and max1 for cats was all that had been
scored, and hold for whatever networks a run has. `claims` measures what they ask for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..evaluation import Interval

REPRODUCED, PARTLY, REFUTED, UNTESTABLE = "reproduced", "partly", "not reproduced", "not testable here"

VERDICTS = {
    REPRODUCED: "every comparison that the paper makes was tested, and each supports the claim",
    PARTLY: "at least one comparison supports the claim, but others do not or could not be tested, or what supports "
            "it is provisional",
    REFUTED: "none supports it, and at least one speaks against it",
    UNTESTABLE: "what was trained, or the images at hand, cannot decide",
}
"""The four verdicts on a claim, and when each is given (`overall`)."""

HALFWAY = 0.5
"""A training is short until its loss has come this part of the way from chance, ln 2, to the floor, ln(1 + e^-2)."""

SEEDS = 3
"""Fewest seeds that tell how much a network owes to its random start."""


@dataclass(frozen=True)
class Rule:
    """How one claim is judged.

    Attributes
    ----------
    key : str
    claim : str
        What the paper says, in one sentence.
    source : str
        Where it says so.
    effect : str
        What is measured on val in each comparison, positive where it speaks for the claim.
    kind : {"more", "near"}
        ``more``: the effect is above 0. ``near``: it lies within `margin` on both sides of 0.
    margin : float
        The effect that an interval must rule out to speak against the claim (``more``), or stay within to speak for it
        (``near``), in the unit of the effect: a fraction.
    unit : str
        Of the effect times 100.
    must_see : bool
        Whether a network of the comparison must first beat the centred box, the best answer that looks at no picture.
    """

    key: str
    claim: str
    source: str
    effect: str
    kind: str = "more"
    margin: float = 0.01
    unit: str = "points of AP"
    must_see: bool = True

    @property
    def size(self) -> str:
        """The margin in words.

        >>> Rule("a", "", "", "").size, Rule("a", "", "", "", margin=0.05).size
        ('1 point of AP', '5 points of AP')
        """
        text = f"{100 * self.margin:g} {self.unit}"
        return text.replace("points", "point") if text.startswith("1 ") else text

    @property
    def condition(self) -> str:
        """When a comparison speaks for the claim, and when against it (`says`), in words.

        >>> Rule("a", "", "", "").condition
        'for: the 95 % interval lies above 0; against: it reaches down to 0 or below, and ends below 1 point of AP'
        """
        if self.kind == "more":
            return ("for: the 95 % interval lies above 0; against: it reaches down to 0 or below, and ends below "
                    f"{self.size}")
        return f"for: the 95 % interval lies within {self.size} on both sides of 0; against: it lies outside"


RULES = (
    Rule("labels", "Image labels are enough to learn to segment.", "Abstract",
         "AP of the network, less the AP of a centred box whose size was chosen on train", must_see=False),
    Rule("aggregation", "LSE beats max.", "Section 4, Table 2",
         "AP of the network trained with log-sum-exp, less the AP of its twin trained with the maximum"),
    Rule("patches", "Nine small patches beat four large ones.", "Section 4, Table 2",
         "AP of the network of nine small patches, less the AP of that of four large ones, with the same aggregation"),
    Rule("superpixels", "Smoothing by superpixels makes the segmentation better.", "Section 3.3",
         "AP after the vote of the superpixels, less the AP of the single pixels, each at its own θ chosen on train"),
    Rule("hard", "Retraining on hard negatives makes fewer false positives.", "Section 3.2",
         "By what part the false positive pixels of round 2 are fewer than those of round 1, where θ of round 2 finds "
         "as many true foreground pixels on train as round 1 does", margin=0.1, unit="% of the false positives"),
    Rule("hard-ap", "Retraining on hard negatives makes the segmentation better.", "implied by Section 3.2, no number",
         "AP after round 2, less the AP after round 1, each at its own θ chosen on train"),
    Rule("theta", "θ = 0.6 for cat and 0.8 for dog are the best thresholds.", "Section 4, Figure 5",
         "AP at the best θ on val, an oracle, less the AP at the paper's θ", kind="near"),
    Rule("classification", "The same network tells well which images hold the class.", "Section 4",
         "Share of val images that LSE1 labels rightly, less the share that the answer “no” to every image is right on",
         unit="points of accuracy"),
    Rule("accuracies", "The foreground and background accuracies of Table 2.", "Table 2",
         "Accuracy measured here, less the one printed", kind="near", margin=0.05, unit="points of accuracy"),
    Rule("ap", "The AP values of Table 2.", "Table 2", "AP measured here, less the one printed", kind="near",
         margin=0.05),
)
"""The claims, in the order of the chapter. Unless the effect says otherwise, the networks are those of round 2, θ is
chosen on train and superpixels are used."""


@dataclass(frozen=True)
class Comparison:
    """One comparison of a rule, and what was measured for it.

    Attributes
    ----------
    name : str
        ``"LSE1 − max1"``.
    cls : str
    effect : Interval or None
        A fraction with its 95 % interval; None where a network that it needs was not trained.
    paper : float or None
        The same effect in the paper, where it prints one.
    seeds : int
        Fewest seeds of a network that takes part.
    way : float
        Part of the way from chance to the floor that the loss of round 1 has come, the least of the networks; nan
        if unknown.
    sees : bool
        Whether the better network beats the centred box: the 95 % interval of the paired difference lies above 0.
    """

    name: str
    cls: str
    effect: Interval | None = None
    paper: float | None = None
    seeds: int = 0
    way: float = math.nan
    sees: bool = False

    @property
    def provisional(self) -> str:
        """Why the comparison cannot settle anything, or nothing.

        >>> Comparison("LSE1 − max1", "cat", seeds=1, way=0.25).provisional
        'a short training, 25 % of the way to the floor; fewer than 3 seeds'
        """
        reasons = []
        if math.isnan(self.way):
            reasons.append("the training curve is not at hand")
        elif self.way < HALFWAY:
            reasons.append(f"a short training, {100 * max(self.way, 0):.0f} % of the way to the floor")
        if self.seeds < SEEDS:
            reasons.append(f"fewer than {SEEDS} seeds")
        return "; ".join(reasons)


@dataclass(frozen=True)
class Outcome:
    """What one comparison says (``for``, ``against``, ``open``, ``not measured``), its verdict, and why no other."""

    says: str
    verdict: str
    why: str = ""


def says(rule: Rule, effect: Interval) -> str:
    """What an interval says of a claim: ``for``, ``against``, or ``open`` where it is too wide to tell.

    With kind ``more``: for, if the whole interval lies above 0; against, if it does not and lies below the margin,
    so that no effect of that size is left. With ``near``: for, if it lies inside the margin on both sides; against,
    if it lies outside.

    >>> more, near = Rule("a", "", "", ""), Rule("b", "", "", "", kind="near")
    >>> [says(more, Interval(v, v - 0.004, v + 0.004)) for v in (0.005, 0.001, -0.2)]
    ['for', 'against', 'against']
    >>> [says(near, Interval(v, v - 0.004, v + 0.004)) for v in (0.005, -0.009, 0.2)]
    ['for', 'open', 'against']
    """
    if math.isnan(effect.low) or math.isnan(effect.high):
        return "open"
    if rule.kind == "more":
        return "for" if effect.low > 0 else "against" if effect.high < rule.margin else "open"
    if -rule.margin <= effect.low and effect.high <= rule.margin:
        return "for"
    return "against" if effect.low > rule.margin or effect.high < -rule.margin else "open"


def judge(rule: Rule, comparison: Comparison) -> Outcome:
    """The verdict of one comparison.

    A comparison is *provisional* if a training was short or has fewer than `SEEDS` seeds. Such a one can support a
    claim, which makes it ``partly``. It cannot refute one, for a longer training could.

    >>> one = Comparison("LSE1 − max1", "cat", Interval(0.05, 0.02, 0.08), seeds=1, way=0.9, sees=True)
    >>> judge(RULES[1], one)
    Outcome(says='for', verdict='partly', why='fewer than 3 seeds')
    """
    if comparison.effect is None:
        return Outcome("not measured", UNTESTABLE, "not trained in this run")
    said, provisional = says(rule, comparison.effect), comparison.provisional
    if rule.must_see and not comparison.sees:
        return Outcome(said, UNTESTABLE, "no network of it beats the centred box")
    if said == "open":
        return Outcome(said, UNTESTABLE, "the interval is too wide to tell")
    if provisional:
        return Outcome(said, PARTLY if said == "for" else UNTESTABLE, provisional)
    return Outcome(said, REPRODUCED if said == "for" else REFUTED)


def overall(outcomes: Sequence[Outcome]) -> str:
    """The verdict on a claim, from those of its comparisons, by `VERDICTS`.

    >>> overall([Outcome("for", REPRODUCED), Outcome("not measured", UNTESTABLE)])
    'partly'
    """
    found = [outcome.verdict for outcome in outcomes]
    if found and all(verdict == REPRODUCED for verdict in found):
        return REPRODUCED
    if REPRODUCED in found or PARTLY in found:
        return PARTLY
    return REFUTED if REFUTED in found else UNTESTABLE


def tally(outcomes: Iterable[Outcome]) -> str:
    """How many comparisons say what, in words.

    >>> tally([Outcome("for", PARTLY), Outcome("not measured", UNTESTABLE), Outcome("for", PARTLY)])
    '2 of 3 for, 1 not measured'
    """
    found = [outcome.says for outcome in outcomes]
    parts = [f"{found.count(word)} {word}" for word in ("for", "against", "open", "not measured") if word in found]
    return ", ".join([parts[0].replace(" ", f" of {len(found)} ", 1), *parts[1:]]) if parts else "none"
